//! The page of examples/, so that a browser can play along.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use actix_web::dev::ServerHandle;
use actix_web::http::header;
use actix_web::{App, HttpResponse, HttpServer, web};
use serde_json::json;

use super::relay::Relay;
use crate::config::Origins;

const PAGE: &str = include_str!("../../../examples/play.html");
const MODULE: &str = include_str!("../../../examples/ggp.js");
const FRAMES: &str = include_str!("../../../examples/ggp-frames.js");
/// Connections at a time; browsers open a few each.
const MAX_CONNECTIONS: usize = 64;
/// The page and its module may do what they need: talk to gateways, and have the connection cut.
const POLICY: &str = "default-src 'none'; script-src 'self' 'unsafe-inline'; \
                      style-src 'unsafe-inline'; img-src data:; connect-src 'self' ws: wss:";

/// A web server for one page.
#[derive(Debug)]
pub(super) struct Page {
    address: SocketAddr,
    server: ServerHandle,
    thread: JoinHandle<io::Result<()>>,
}

/// The page's address, before there is anything to be played with.
#[derive(Debug)]
pub(super) struct Listening {
    listener: TcpListener,
    address: SocketAddr,
}

/// Opens the page's port.
pub(super) fn listen(address: SocketAddr) -> io::Result<Listening> {
    let listener = TcpListener::bind(address)?;
    let address = listener.local_addr()?;
    Ok(Listening { listener, address })
}

impl Listening {
    /// Returns the page's origin, as browsers send it.
    pub(super) fn origins(&self) -> io::Result<Origins> {
        let port = self.address.port();
        let origins = format!("http://{},http://localhost:{port}", self.address);
        origins.parse().map_err(io::Error::other)
    }

    /// Serves the page, whose connections go through `relay`.
    pub(super) fn serve(self, relay: Arc<Relay>) -> io::Result<Page> {
        let Listening { listener, address } = self;
        let relay = web::Data::from(relay);
        let (running, handle) = mpsc::channel();
        let serve = move || {
            actix_web::rt::System::new().block_on(async move {
                let server = HttpServer::new(move || {
                    App::new()
                        .app_data(relay.clone())
                        .route("/cut", web::post().to(cut))
                        .route("/", web::get().to(|| file("text/html", PAGE)))
                        .route("/ggp.js", web::get().to(|| file("text/javascript", MODULE)))
                        .route(
                            "/ggp-frames.js",
                            web::get().to(|| file("text/javascript", FRAMES)),
                        )
                })
                .workers(1)
                .max_connections(MAX_CONNECTIONS)
                .disable_signals()
                .listen(listener)?
                .run();
                // The receiver waits for exactly this.
                let _ = running.send(server.handle());
                server.await
            })
        };
        let thread = std::thread::Builder::new()
            .name("page".into())
            .spawn(serve)?;
        let ended = |_| io::Error::other("the page's server ended during startup");
        let server = handle.recv().map_err(ended)?;
        Ok(Page {
            address,
            server,
            thread,
        })
    }
}

impl Page {
    /// Returns the URL to open, for a relay at this address.
    pub(super) fn url(&self, relay: SocketAddr) -> String {
        format!("http://{}/?gateway=ws://{relay}/&cut=/cut", self.address)
    }

    /// Ends it, without regard for who is reading.
    pub(super) fn stop(self) -> io::Result<()> {
        // The command is on its way with the call; the thread ends once it was done.
        drop(self.server.stop(false));
        let died = |_| io::Error::other("the page's server panicked");
        self.thread.join().map_err(died)?
    }
}

/// Cuts the page's connection; answers with the gateway that the next one reaches.
async fn cut(relay: web::Data<Relay>) -> HttpResponse {
    HttpResponse::Ok().json(json!({"gateway": relay.cut()}))
}

async fn file(kind: &str, text: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, format!("{kind}; charset=utf-8")))
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(text)
}
