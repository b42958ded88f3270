use std::sync::Arc;

use proptest::prelude::*;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional_with_sizes};
use tokio::net::TcpListener;
use tokio::task::LocalSet;

use super::super::handshake::shake;
use super::super::{VERSIONS, provider};
use super::*;

/// Both sides of a connection through a relay that passes on so many bytes at a time.
async fn pair(relayed: usize) -> (TlsSocket, TlsSocket) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key: PrivateKeyDer<'_> = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()).into();
    let server = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&VERSIONS)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&VERSIONS)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "localhost".try_into().unwrap();
    let client = UnbufferedClientConnection::new(Arc::new(client), name).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = relay.local_addr().unwrap();
    let beyond = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        let (mut near, _) = relay.accept().await.unwrap();
        let mut far = TcpStream::connect(beyond).await.unwrap();
        let _ = copy_bidirectional_with_sizes(&mut near, &mut far, relayed, relayed).await;
    });
    let connect = async {
        let socket = TcpStream::connect(to).await.unwrap();
        let records = Records::Client(client);
        shake(records, socket, Default::default(), None, |_| true).await
    };
    let accept = async {
        let (socket, _) = listener.accept().await.unwrap();
        let config = Arc::new(server);
        super::super::accept(config, socket, Default::default(), 1, |_| true).await
    };
    let (client, server) = tokio::join!(connect, accept);
    (client.unwrap(), server.unwrap())
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    LocalSet::new().block_on(&runtime.unwrap(), work)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 % 251) as u8).collect()
}

/// Reads this many bytes, at most `room` at a time.
async fn read(socket: &mut TlsSocket, len: usize, room: usize) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), vec![0; room]);
    while all.len() < len {
        let read = socket.read(&mut buffer).await.unwrap();
        assert!(read > 0, "ended after {} of {len} bytes", all.len());
        all.extend_from_slice(&buffer[..read]);
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn bytes_arrive_whole_however_records_are_cut(
        relayed in prop_oneof![1_usize..40, 40_usize..40_000],
        len in 1_usize..100_000,
        written in 1_usize..60_000,
        room in prop_oneof![1_usize..50, 50_usize..70_000],
    ) {
        let len = len.min(relayed.max(written).max(room) * 50);
        run(async {
            let (mut client, mut server) = pair(relayed).await;
            let sent = pattern(len);
            let send = async {
                for piece in sent.chunks(written) {
                    client.write_all(piece).await.unwrap();
                }
                client.flush().await.unwrap();
            };
            let (_, got) = tokio::join!(send, read(&mut server, len, room));
            assert!(got == sent);
            let idle = usize::from(IDLE_KIB) * 1024;
            assert_eq!((client.buffers(), server.buffers()), (idle, idle));
        });
    }
}

#[test]
fn many_slices_are_one_record() {
    run(async {
        let (mut client, mut server) = pair(65_536).await;
        let sent = pattern(900);
        let slices: Vec<_> = sent.chunks(9).map(IoSlice::new).collect();
        assert_eq!(client.write_vectored(&slices).await.unwrap(), sent.len());
        let mut got = [0; 1024];
        assert_eq!(server.read(&mut got).await.unwrap(), sent.len());
    });
}

#[test]
fn what_the_network_does_not_take_is_bounded() {
    run(async {
        let (mut client, _server) = pair(65_536).await;
        let mut cx = Context::from_waker(Waker::noop());
        let piece = vec![7; 1 << 20];
        let mut taken = 0;
        // Nobody reads at the other end.
        while let Poll::Ready(written) = Pin::new(&mut client).poll_write(&mut cx, &piece) {
            taken += written.unwrap();
            tokio::task::consume_budget().await;
            assert!(taken < 1 << 30, "the network takes everything");
        }
        assert!(client.is_unflushed());
        let own = client.buffers() - usize::from(IDLE_KIB) * 1024;
        assert!(own > 0 && own <= room_for(UNSENT_BYTES), "{own} bytes");
    });
}

#[test]
fn bytes_ahead_of_a_fault_are_read_first_and_the_fault_is_told() {
    run(async {
        let (mut client, mut server) = pair(65_536).await;
        let mut sealed = vec![0; room_for(5)];
        let len = client
            .records
            .seal(Sealed::Data(b"first"), &mut [], &mut sealed)
            .unwrap();
        sealed.truncate(len);
        let mut broken = sealed.clone();
        *broken.last_mut().unwrap() ^= 1;
        sealed.extend(broken);
        client.socket.write_all(&sealed).await.unwrap();
        assert_eq!(read(&mut server, 5, 100).await, b"first");
        let error = server.read(&mut [0; 10]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let alert = client.read(&mut [0; 10]).await.unwrap_err();
        assert!(alert.to_string().contains("BadRecordMac"), "{alert}");
        let error = server.write(b"behind it").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn farewells_end_both_directions_on_their_own() {
    run(async {
        let (mut client, mut server) = pair(65_536).await;
        client.write_all(b"last words").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(read(&mut server, 10, 100).await, b"last words");
        assert_eq!(server.read(&mut [0; 10]).await.unwrap(), 0);
        assert!(server.may_be_readable());
        server.write_all(b"answer").await.unwrap();
        assert_eq!(read(&mut client, 6, 100).await, b"answer");
        let error = client.write(b"behind it").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        drop(server);
        assert_eq!(client.read(&mut [0; 10]).await.unwrap(), 0);
    });
}

#[test]
fn keys_are_renewed_under_way() {
    run(async {
        let (mut client, mut server) = pair(65_536).await;
        let Records::Client(connection) = &mut client.records else {
            panic!("a client");
        };
        let rustls::unbuffered::ConnectionState::WriteTraffic(traffic) =
            connection.process_tls_records(&mut []).state.unwrap()
        else {
            panic!("nothing is under way");
        };
        traffic.refresh_traffic_keys().unwrap();
        client.write_all(b"new keys").await.unwrap();
        assert_eq!(read(&mut server, 8, 100).await, b"new keys");
        server.write_all(b"on both sides").await.unwrap();
        assert_eq!(read(&mut client, 13, 100).await, b"on both sides");
    });
}
