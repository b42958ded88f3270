# Sourced by the other scripts: what a fresh Debian with Rust still lacks.

# Rust from rustup is not on the PATH of a shell that is not a login shell.
if ! command -v cargo >/dev/null && [ -x "$HOME/.cargo/bin/cargo" ]; then
    PATH="$HOME/.cargo/bin:$PATH"
fi

# need COMMAND PACKAGE...: installs Debian packages unless COMMAND is there already.
need() {
    local command=$1
    shift
    command -v "$command" >/dev/null && return 0
    install_packages "$@" || return 1
    command -v "$command" >/dev/null && return 0
    echo "error: $command is still missing after installing $*" >&2
    return 1
}

# install_packages PACKAGE...: with apt-get, as root or through sudo; prints only failures.
install_packages() {
    local as_root=() log
    if ! command -v apt-get >/dev/null; then
        echo "error: this is no Debian; install the equivalent of: $*" >&2
        return 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "error: needs root or sudo to install: $*" >&2
            return 1
        fi
        # -n: fail rather than wait for a password that nobody types.
        as_root=(sudo -n)
    fi
    log=$(mktemp)
    # Scripts that run beside each other install one after the other. What an installation starts keeps no lock.
    # shellcheck disable=SC2016 # It is the inner shell that takes the words.
    if ! flock --close "${TMPDIR:-/tmp}/game-gateway-packages.$(id -u)" "${as_root[@]}" sh -c '
        apt-get update -q &&
            DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
    ' install "$@" </dev/null >"$log" 2>&1; then
        cat "$log" >&2
        rm -f "$log"
        echo "error: cannot install: $*" >&2
        return 1
    fi
    rm -f "$log"
}

# need_rust: cargo and a linker, without which nothing here can start.
need_rust() {
    if ! command -v cargo >/dev/null; then
        echo "error: cargo is not installed; see https://rustup.rs" >&2
        return 1
    fi
    need cc gcc libc6-dev
}
