//! The page of examples/, so that a browser can play along.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::thread::JoinHandle;

use actix_web::dev::ServerHandle;
use actix_web::http::header;
use actix_web::{App, HttpResponse, HttpServer, web};

use crate::config::Origins;

const PAGE: &str = include_str!("../../../examples/play.html");
const MODULE: &str = include_str!("../../../examples/ggp.js");
const FRAMES: &str = include_str!("../../../examples/ggp-frames.js");
/// Connections at a time; browsers open a few each.
const MAX_CONNECTIONS: usize = 64;
/// The page and its module may do what they need: talk to gateways.
const POLICY: &str = "default-src 'none'; script-src 'self' 'unsafe-inline'; \
                      style-src 'unsafe-inline'; img-src data:; connect-src ws: wss:";

/// A web server for one page.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) address: SocketAddr,
    server: ServerHandle,
    thread: JoinHandle<io::Result<()>>,
}

impl Page {
    pub(super) fn start(address: SocketAddr) -> io::Result<Page> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let (running, handle) = mpsc::channel();
        let serve = move || {
            actix_web::rt::System::new().block_on(async move {
                let server = HttpServer::new(|| {
                    App::new()
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

    /// Returns the URL to open, for a gateway at this address.
    pub(super) fn url(&self, gateway: SocketAddr) -> String {
        format!("http://{}/?gateway=ws://{gateway}/", self.address)
    }

    /// Returns the page's origin, as browsers send it.
    pub(super) fn origins(&self) -> io::Result<Origins> {
        let port = self.address.port();
        let origins = format!("http://{},http://localhost:{port}", self.address);
        origins.parse().map_err(io::Error::other)
    }

    /// Ends it, without regard for who is reading.
    pub(super) fn stop(self) -> io::Result<()> {
        // The command is on its way with the call; the thread ends once it was done.
        drop(self.server.stop(false));
        let died = |_| io::Error::other("the page's server panicked");
        self.thread.join().map_err(died)?
    }
}

async fn file(kind: &str, text: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, format!("{kind}; charset=utf-8")))
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(text)
}
