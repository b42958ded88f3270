//! Questions of other gateways, answered by the functions that answer HTTP: each becomes a request to the same
//! application, with the role that the asking gateway vouches for.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix_http::Request;
use actix_web::HttpMessage;
use actix_web::body::{BodySize, MessageBody};
use actix_web::http::{Method, StatusCode, Uri, header};
use actix_web::rt;
use bytes::Bytes;
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc};

use super::access::Vouched;
use super::connection::Application;
use super::errors::ApiError;
use super::params::Upload;
use crate::actors::peers::{AskedByPeer, MAX_ANSWERING, tell_not_made};
use crate::codec::peer::{Answer, MAX_ANSWER_BODY, Question};
use crate::config::admin::Role;

/// Questions that are answered at a time; others wait.
const MAX_AT_A_TIME: usize = 16;
/// Queues of changes, so that one that takes long is not in the way of those of other subjects.
const LANES: usize = 8;
/// Paths that may be asked for begin with this.
const API: &str = "/api/v1/";

/// Answers until nobody can ask any more.
pub(super) async fn answer_all(
    mut questions: mpsc::Receiver<AskedByPeer>,
    application: Rc<Application>,
) {
    let turns = Arc::new(Semaphore::new(MAX_AT_A_TIME));
    let lanes: [_; LANES] = std::array::from_fn(|_| lane(&application));
    while let Some(asked) = questions.recv().await {
        if asked.until.is_some() {
            // Where the lane is full, the asker is told that there was no answer.
            let _ = lanes[lane_of(&asked.question.path)].try_send(asked);
            continue;
        }
        let Ok(turn) = Arc::clone(&turns).acquire_owned().await else {
            return;
        };
        let application = Rc::clone(&application);
        rt::spawn(async move {
            answer(&application, asked).await;
            drop(turn);
        });
    }
}

/// Makes the changes that are sent here one after the other, in their order.
fn lane(application: &Rc<Application>) -> mpsc::Sender<AskedByPeer> {
    let (lane, mut changes) = mpsc::channel::<AskedByPeer>(MAX_ANSWERING);
    let application = Rc::clone(application);
    rt::spawn(async move {
        while let Some(asked) = changes.recv().await {
            answer(&application, asked).await;
        }
    });
    lane
}

/// Returns the lane of a path: one for all changes of a subject, `bans` or `drain`.
fn lane_of(path: &str) -> usize {
    let subject = path.trim_start_matches(API).split(['/', '?']).next();
    let letters = subject.unwrap_or_default().bytes().map(usize::from);
    letters.sum::<usize>() % LANES
}

async fn answer(application: &Application, asked: AskedByPeer) {
    let AskedByPeer {
        gateway,
        question,
        until,
        answer,
    } = asked;
    let most = (question.most as usize).min(MAX_ANSWER_BODY);
    let answered = if until.is_some_and(|until| Instant::now() >= until) {
        tell_not_made(&gateway, &question);
        refusal(&ApiError::timeout("nobody waits for this change any more"))
    } else {
        one(application, gateway, question, most).await
    };
    // Who has asked may be gone.
    let _ = answer.send(answered);
}

async fn one(application: &Application, gateway: String, asked: Question, most: usize) -> Answer {
    let request = match request(gateway, asked) {
        Ok(request) => request,
        Err(error) => return refusal(&error),
    };
    let (response, body) = application.answer_at_once(request).await.into_parts();
    if body.size() == BodySize::Stream {
        let message = "a stream cannot be had through another gateway";
        return refusal(&ApiError::not_available(message));
    }
    let status = response.status().as_u16();
    let Ok(body) = body.try_into_bytes() else {
        return refusal(&ApiError::internal("the answer cannot be read"));
    };
    if body.len() <= most {
        return Answer {
            status,
            cut: false,
            body: body.to_vec(),
        };
    }
    match cut(&body, most) {
        Some(body) => Answer {
            status,
            cut: true,
            body,
        },
        None => refusal(&ApiError::answer_too_large(most)),
    }
}

fn request(gateway: String, asked: Question) -> Result<Request, ApiError> {
    let wrong = || ApiError::bad_request("not a question for the admin API");
    let method: Method = asked.method.parse().map_err(|_| wrong())?;
    let uri: Uri = asked.path.parse().map_err(|_| wrong())?;
    if !uri.path().starts_with(API) {
        return Err(wrong());
    }
    let mut request = Request::new();
    let head = request.head_mut();
    (head.method, head.uri) = (method, uri);
    let json = header::HeaderValue::from_static("application/json");
    head.headers.insert(header::CONTENT_TYPE, json);
    let role = match asked.may_change {
        true => Role::Operate,
        false => Role::Read,
    };
    let mut extensions = request.extensions_mut();
    extensions.insert(Upload(Ok(Bytes::from(asked.body))));
    extensions.insert(Vouched {
        gateway,
        by: asked.by,
        role,
    });
    drop(extensions);
    Ok(request)
}

fn refusal(error: &ApiError) -> Answer {
    let (status, body) = error.as_answer();
    Answer {
        status: status.as_u16(),
        cut: false,
        body,
    }
}

/// Cuts the longest list of an answer until it fits; `None`: it has none that is long enough.
fn cut(body: &[u8], most: usize) -> Option<Vec<u8>> {
    let mut answer: Value = serde_json::from_slice(body).ok()?;
    let members = answer.as_object_mut()?;
    let lists = members.values_mut().filter_map(Value::as_array_mut);
    let size = |entry: &Value| entry.to_string().len() + 1;
    let lists = lists.map(|list| (list.iter().map(size).sum::<usize>(), list));
    let (bytes, list) = lists.max_by_key(|(bytes, _)| *bytes)?;
    let mut over = body.len() - most;
    if over > bytes {
        return None;
    }
    while over > 0 {
        let entry = list.pop()?;
        over = over.saturating_sub(size(&entry));
    }
    let body = answer.to_string().into_bytes();
    // The program's own JSON has no spaces; another's might.
    (body.len() <= most).then_some(body)
}

/// Whether a status says that something was done.
pub(super) fn is_success(status: u16) -> bool {
    StatusCode::from_u16(status).is_ok_and(|status| status.is_success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_list_is_cut_until_it_fits() {
        let rows: Vec<Value> = (0..100).map(|n| serde_json::json!({"id": n})).collect();
        let body = serde_json::json!({"rows": rows, "silent": [1, 2], "next": null}).to_string();
        let cut_to = |most| cut(body.as_bytes(), most);
        let short = cut_to(200).expect("it is cut");
        assert!(short.len() <= 200 && short.len() > 180, "{}", short.len());
        let short: Value = serde_json::from_slice(&short).expect("JSON");
        assert_eq!(short["rows"][3]["id"], 3);
        assert_eq!(short["silent"], serde_json::json!([1, 2]));
        assert_eq!(cut_to(20), None);
        assert_eq!(cut(b"\"a long text\"", 3), None);
    }
}
