# One static program and nothing else: no shell, no libraries, no files of its own.
#
# From source, where a registry can be reached:
#   docker build -t game-gateway .
# From a binary that is already there, as target/image/game-gateway (scripts/image makes it so):
#   buildah bud --build-arg BINARY=prebuilt -t game-gateway .
ARG BINARY=build
ARG RUST=1.95

FROM docker.io/library/rust:${RUST}-slim-bookworm AS build
WORKDIR /source
COPY . .
RUN target=$(rustc -vV | sed -n 's/^host: //p') \
    && RUSTFLAGS="-C target-feature=+crt-static -C relocation-model=static" \
       cargo build --locked --release --bin game-gateway --target "$target" \
    && mkdir -p target/image \
    && cp "target/$target/release/game-gateway" target/image/game-gateway

FROM scratch AS prebuilt
COPY target/image/game-gateway /source/target/image/game-gateway

# A name of its own, for COPY --from takes no argument.
FROM ${BINARY} AS binary

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="game-gateway" \
      org.opencontainers.image.description="A gateway for game servers: one port for players, rules that route every packet, few multiplexed links to backends" \
      org.opencontainers.image.source="https://github.com/game-gateway/game-gateway" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=binary /source/target/image/game-gateway /game-gateway
# Nobody's, with a number, so that runAsNonRoot can be checked.
USER 65532:65532
# Players, admins and probes, other gateways.
EXPOSE 7000 9090 7001
STOPSIGNAL SIGTERM
ENTRYPOINT ["/game-gateway"]
CMD ["serve"]
