//! The content of a token.

use super::TokenError;
use crate::codec::link::Bind;
use crate::codec::peer::Binding;

/// The most bindings that a token holds: `session.max_services` is no larger.
const MAX_BINDINGS: usize = 64;

/// The most bytes of assignments in a token. Those beyond it are left out: a token that is too long resumes nothing.
const MAX_ASSIGNED_BYTES: usize = 512;

/// All that a gateway needs to take a session over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenBody {
    /// Never 0.
    pub session_id: u64,
    /// The session's when the token was made.
    pub epoch: u32,
    /// The ids that a backend has bound; 0: not bound.
    pub bound: Bind,
    /// The newest ids that the client has sent.
    pub newest: Bind,
    /// The services in use.
    pub bindings: Vec<Binding>,
    /// The services that ASSIGN has sent somewhere and the client has not used yet, as far as there is room.
    pub assigned: Vec<Binding>,
    /// The gateway that has the session.
    pub owner: String,
    /// Where other gateways reach that one, `host:port`; empty: nowhere.
    pub peer: String,
    /// When it ends, in seconds since 1970.
    pub expires: u64,
}

impl TokenBody {
    /// Returns the bound user, else the newest that the client sent, else 0.
    pub fn user_id(&self) -> u64 {
        self.bound.user_id_or(self.newest)
    }

    /// Appends the body.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.session_id.to_be_bytes());
        out.extend_from_slice(&self.epoch.to_be_bytes());
        for bind in [&self.bound, &self.newest] {
            out.extend_from_slice(&bind.user_id.to_be_bytes());
            out.extend_from_slice(&bind.realm_id.to_be_bytes());
        }
        out.extend_from_slice(&self.expires.to_be_bytes());
        text(out, &self.owner);
        text(out, &self.peer);
        out.push(self.bindings.len().min(MAX_BINDINGS) as u8);
        for binding in self.bindings.iter().take(MAX_BINDINGS) {
            encode(out, binding);
        }
        // Behind what gateways of the release before read, and only where there is something.
        let begins = out.len();
        for binding in &self.assigned {
            let end = out.len();
            encode(out, binding);
            if out.len() - begins > MAX_ASSIGNED_BYTES {
                return out.truncate(end);
            }
        }
    }

    /// Reads a body that was sealed.
    pub(super) fn decode(bytes: &[u8]) -> Result<TokenBody, TokenError> {
        let mut rest = Rest(bytes);
        let body = TokenBody {
            session_id: u64::from_be_bytes(rest.array()?),
            epoch: u32::from_be_bytes(rest.array()?),
            bound: rest.bind()?,
            newest: rest.bind()?,
            expires: u64::from_be_bytes(rest.array()?),
            owner: rest.text()?,
            peer: rest.text()?,
            bindings: {
                let [count] = rest.array()?;
                (0..count)
                    .map(|_| rest.binding())
                    .collect::<Result<_, _>>()?
            },
            assigned: {
                let mut assigned = Vec::new();
                while !rest.0.is_empty() {
                    assigned.push(rest.binding()?);
                }
                assigned
            },
        };
        Ok(body)
    }
}

fn encode(out: &mut Vec<u8>, binding: &Binding) {
    text(out, &binding.service);
    text(out, &binding.endpoint.to_string());
}

/// A length of one byte, and the text; it is cut at 255 bytes, which configuration keeps it below.
fn text(out: &mut Vec<u8>, text: &str) {
    let bytes = &text.as_bytes()[..text.len().min(255)];
    out.push(bytes.len() as u8);
    out.extend_from_slice(bytes);
}

/// The bytes that are not read yet.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], TokenError> {
        let (array, rest) = self.0.split_first_chunk().ok_or(TokenError::Malformed)?;
        self.0 = rest;
        Ok(*array)
    }

    fn bind(&mut self) -> Result<Bind, TokenError> {
        Ok(Bind {
            user_id: u64::from_be_bytes(self.array()?),
            realm_id: u32::from_be_bytes(self.array()?),
        })
    }

    fn text(&mut self) -> Result<String, TokenError> {
        let [len] = self.array()?;
        let (text, rest) = self
            .0
            .split_at_checked(usize::from(len))
            .ok_or(TokenError::Malformed)?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).map_err(|_| TokenError::Malformed)
    }

    fn binding(&mut self) -> Result<Binding, TokenError> {
        Ok(Binding {
            service: self.text()?,
            endpoint: self.text()?.parse().map_err(|_| TokenError::Malformed)?,
        })
    }
}
