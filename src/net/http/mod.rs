//! HTTP/1.1 at the players' port: actix-http reads requests and writes responses, keep-alive and
//! pipelining included.
//!
//! * [`connection`]: what the requests of one connection share, and its deadlines.
//! * [`request`]: what a request asks for, and whether it is refused.
//! * [`mod@response`]: answers, before and as HTTP.
//! * [`one_shot`]: a POST as a session of its own.
//! * [`upgrade`]: the handshake of a WebSocket.
//! * [`replay`]: the socket that is lent to actix-http.

mod connection;
mod one_shot;
mod replay;
mod request;
mod response;
mod upgrade;

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use actix_codec::Framed;
use actix_http::body::BoxBody;
use actix_http::{HttpServiceBuilder, Request, Response, h1};
use actix_service::{Service, ServiceFactory, fn_service};
use bytes::BytesMut;
use tokio::io::AsyncWriteExt;

use super::entry_host::EntryParams;
use super::socket::Socket;
use connection::{Connection, KEEP_ALIVE};
use replay::Replay;
use request::Post;

/// Shortest timeout for a connection's first head, because zero means no limit to actix-http.
const MIN_HEAD_TIMEOUT: Duration = Duration::from_millis(1);
/// Time for which input is discarded after a response that ends the connection.
const LINGER: Duration = Duration::from_secs(1);

/// Shuts the connection down and reads on for [`LINGER`], so that no reset overtakes the last response.
async fn part(mut socket: Socket) {
    if socket.shutdown().await.is_ok() {
        let mut sink = tokio::io::sink();
        // After the time-out the connection is closed even if the client still sends.
        let _ = tokio::time::timeout(LINGER, tokio::io::copy(&mut socket, &mut sink)).await;
    }
}

/// Serves the connection until it ends; returns the WebSocket that it has become instead.
pub(super) async fn serve(socket: Socket, read: BytesMut, params: EntryParams) -> Option<Socket> {
    params.host.serving_http();
    let (remote, timeout) = (params.remote, params.timeout);
    let connection = Rc::new(Connection::new(params));
    let (answering, expecting) = (connection.clone(), connection.clone());
    let upgrading = connection.clone();
    let continuing = fn_service(move |request: Request| {
        let refusal = expected(&expecting, &request);
        std::future::ready(refusal.map_or(Ok(request), Err))
    });
    let builder = HttpServiceBuilder::default()
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(timeout.max(MIN_HEAD_TIMEOUT))
        .client_disconnect_timeout(LINGER);
    let factory = HttpServiceBuilder::expect(builder, continuing)
        .upgrade(fn_service(
            move |(request, framed): (Request, Framed<Replay, h1::Codec>)| {
                let connection = upgrading.clone();
                async move {
                    // If the connection fails meanwhile, its dispatcher ends without our help.
                    let _ = upgrade::upgrade(&connection, &request, framed).await;
                    Ok::<(), Infallible>(())
                }
            },
        ))
        .h1(fn_service(move |request: Request| {
            let connection = answering.clone();
            async move { Ok::<_, Infallible>(connection.answer(request).await) }
        }));
    let service = factory.new_service(()).await.ok()?;
    let replay = Replay::new(read, socket);
    let home = replay.home();
    tokio::select! {
        result = service.call((replay, Some(remote))) => {
            connection.count_end(result, home.is_written());
        }
        () = connection.watch() => {}
    }
    let upgraded = connection.upgraded.take();
    if upgraded.is_none() {
        part(home.take()).await;
    }
    upgraded
}

/// Returns the refusal of a request that waits for 100 Continue, or none if it may go on.
fn expected(connection: &Connection, request: &Request) -> Option<Response<BoxBody>> {
    let head = request.head();
    let early = request::refusal(head, &connection.params);
    let reply = early.or_else(|| Post::of(head).err())?;
    let origin = request::origin(head);
    let http = &connection.params.config.listen.http;
    Some(connection.finish(reply.closing().into_response(origin.as_deref(), http)))
}
