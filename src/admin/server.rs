//! The thread of the admin API, and its port.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use actix_http::Request;
use actix_service::{IntoServiceFactory, ServiceFactory, boxed};
use actix_web::dev::AppConfig;
use actix_web::rt::{self, System};
use actix_web::{App, web};
use socket2::SockRef;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::connection::{self, Application, Entrance};
use super::event_streams::EventStreams;
use super::visitors::Visitors;
use super::{Desk, Sources, answering, endpoints, live};
use crate::actors::peers::AskedByPeer;
use crate::memory;
use crate::net::tls::Tls;

/// Wait for a connection to leave where no other can be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Bytes of the kernel's buffers of a connection, each way. They are not the gateway's memory, but the machine's.
const SOCKET_BYTES: usize = 128 * 1024;

/// The admin API as it runs.
#[derive(Debug)]
pub struct Admin {
    stop: Arc<Notify>,
    thread: std::thread::JoinHandle<io::Result<()>>,
}

impl Admin {
    /// Stops it; requests under way are cut off, event streams are told.
    pub fn stop(self) {
        self.stop.notify_one();
        if self.thread.join().is_err() {
            tracing::error!("the admin API's thread panicked");
        }
    }
}

/// Opens the admin API's listening socket.
///
/// # Errors
/// The address cannot be bound.
pub fn listen(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    // Its connections inherit them.
    let socket = SockRef::from(&listener);
    socket.set_send_buffer_size(SOCKET_BYTES)?;
    socket.set_recv_buffer_size(SOCKET_BYTES)?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

/// Starts to answer on `listener`, and `questions` that other gateways put for operators of theirs.
///
/// # Errors
/// Its thread cannot be started.
pub fn start(
    listener: TcpListener,
    sources: Sources,
    questions: tokio::sync::mpsc::Receiver<AskedByPeer>,
) -> io::Result<Admin> {
    let (running, started) = mpsc::channel();
    let stop = Arc::<Notify>::default();
    let stopped = Arc::clone(&stop);
    let serve = move || {
        memory::count_on_this_thread(sources.memory.admin());
        System::new().block_on(async move {
            let visitors = Rc::new(Visitors::new(sources.gate.files().admin()));
            let streams = EventStreams::new(sources.gate.files().admin());
            let tls = Arc::clone(&sources.tls);
            let desk = web::Data::new(Desk::new(sources, visitors.closed(), streams.clone()));
            live::start(&desk);
            let application = Rc::new(application(desk).await?);
            rt::spawn(answering::answer_all(questions, Rc::clone(&application)));
            let listener = tokio::net::TcpListener::from_std(listener)?;
            // The receiver waits for exactly this.
            let _ = running.send(());
            tokio::select! {
                () = accept(&listener, &visitors, &application, &tls) => {}
                () = stopped.notified() => {}
            }
            streams.end().await;
            Ok(())
        })
    };
    let thread = std::thread::Builder::new()
        .name("admin".into())
        .spawn(serve)?;
    let ended = |_| io::Error::other("the admin API ended while it started");
    started.recv().map_err(ended)?;
    Ok(Admin { stop, thread })
}

async fn application(desk: web::Data<Desk>) -> io::Result<Application> {
    let app = App::new().app_data(desk).configure(endpoints::configure);
    let factory = IntoServiceFactory::<_, Request>::into_factory(app);
    let service = factory.new_service(AppConfig::default()).await;
    let service = service.map_err(|()| io::Error::other("the admin API cannot be set up"))?;
    Ok(Application::new(boxed::service(service)))
}

async fn accept(
    listener: &tokio::net::TcpListener,
    visitors: &Rc<Visitors>,
    application: &Rc<Application>,
    tls: &Tls,
) {
    loop {
        match listener.accept().await {
            Ok((socket, remote)) => {
                let visit = visitors.enter(remote.ip()).await;
                let entrance = Entrance {
                    application: Rc::clone(application),
                    tls: tls.admin(),
                };
                rt::spawn(connection::serve(socket, remote, visit, entrance));
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "the admin API cannot accept a connection");
                // Where files are short, one of the connections gives its own.
                visitors.give_way();
                let _ = timeout(ACCEPT_PAUSE, visitors.left()).await;
            }
        }
    }
}

/// Returns true if the error concerns just the connection that would have been accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}
