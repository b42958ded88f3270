use std::cell::Cell;

use rustls::pki_types::PrivateKeyDer;
use rustls::sign::{Signer, SigningKey};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SignatureAlgorithm, SignatureScheme};
use tokio::net::TcpListener;
use tokio::task::{LocalSet, spawn_local, yield_now};

use super::*;

/// Handshakes that come at once.
const CROWD: usize = 20;

thread_local! {
    static SIGNED: Cell<usize> = const { Cell::new(0) };
}

#[derive(Debug)]
struct CountingKey(Arc<dyn SigningKey>);

#[derive(Debug)]
struct CountingSigner(Box<dyn Signer>);

impl SigningKey for CountingKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let signer = self.0.choose_scheme(offered)?;
        Some(Box::new(CountingSigner(signer)))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }
}

impl Signer for CountingSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        SIGNED.set(SIGNED.get() + 1);
        self.0.sign(message)
    }

    fn scheme(&self) -> SignatureScheme {
        self.0.scheme()
    }
}

fn counting_config() -> Arc<ServerConfig> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let key = crypto::ring::sign::any_ecdsa_type(&key).unwrap();
    let chain = vec![made.cert.der().clone()];
    let certified = CertifiedKey::new(chain, Arc::new(CountingKey(key)));
    let verifier = WebPkiClientVerifier::no_client_auth();
    Arc::new(configure(vec![Arc::new(certified)], verifier, &PROTOCOLS).unwrap())
}

/// Returns the first message of a client.
fn hello() -> BytesMut {
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&VERSIONS)
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello[..].into()
}

#[tokio::test]
async fn a_crowd_signs_once_a_turn() {
    let (config, hello) = (counting_config(), hello());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (mut clients, mut sockets) = (Vec::new(), Vec::new());
    for _ in 0..CROWD {
        clients.push(TcpStream::connect(address).await.unwrap());
        sockets.push(listener.accept().await.unwrap().0);
    }
    LocalSet::new()
        .run_until(async move {
            for socket in sockets {
                spawn_local(accept(
                    Arc::clone(&config),
                    socket,
                    hello.clone(),
                    1,
                    |_| true,
                ));
            }
            let mut before = 0;
            while before < CROWD {
                yield_now().await;
                let signed = SIGNED.get();
                assert!(signed <= before + 2, "{} in a turn", signed - before);
                before = signed;
            }
        })
        .await;
}
