//! What a gateway says to its client, frame by frame.

use super::frames::{ClientFrame, ClientWhat};
use super::model::{Attempt, Form, Incarnation, SentError, Session};
use super::{Audit, rules};

impl Audit {
    /// A gateway hands a frame to the network, for its client.
    pub(super) fn said_to_client(&mut self, id: u64, frame: &ClientFrame) {
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        let seen = || format!("connection {id}: {:?}", frame.what);
        if self.owes_error(id) {
            return self.breach(&rules::ERROR_OWED, seen());
        }
        if conn.closed.is_some() {
            return self.breach(&rules::C_AFTER_CLOSE, seen());
        }
        let waits = match conn.form {
            Form::Unknown | Form::Plain => false,
            Form::Resumable { opened } => !opened,
            Form::Resume { answered, .. } => !answered,
        };
        let answers = matches!(conn.form, Form::Resume { .. });
        let plain = matches!(conn.form, Form::Plain | Form::Unknown);
        match &frame.what {
            ClientWhat::Opened { .. } | ClientWhat::Goaway if plain => {
                self.breach(&rules::C_PLAIN, seen());
            }
            ClientWhat::Data { .. } | ClientWhat::Goaway if waits => {
                self.breach(&rules::C_FIRST, seen());
            }
            ClientWhat::Error(_) if waits && answers => {
                self.breach(&rules::C_FIRST, seen());
            }
            ClientWhat::Error(code) if waits && *code != 400 => {
                self.breach(&rules::C_FIRST, seen());
            }
            ClientWhat::Opened { received, gap, .. } => {
                let (received, gap) = (*received, *gap);
                self.opened(id, frame, received, gap);
            }
            ClientWhat::Data { .. } => self.data_to_client(id, frame),
            ClientWhat::Error(code) => self.error_to_client(id, frame, *code),
            ClientWhat::Close(code) => self.close_to_client(id, *code),
            ClientWhat::Goaway => {
                if !self.draining[conn.gateway.index] {
                    self.breach(&rules::C_GOAWAY, seen());
                }
            }
            ClientWhat::Ping | ClientWhat::Pong => {}
            ClientWhat::Resume { .. } | ClientWhat::Unknown(_) => {
                self.breach(&rules::C_FRAMING, seen());
            }
        }
    }

    fn opened(&mut self, id: u64, frame: &ClientFrame, received: u64, gap: bool) {
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        match conn.form {
            Form::Resume {
                answered: false, ..
            } => return self.resumed(id, frame, received, gap),
            _ if gap => {
                let seen = format!("connection {id}: OPENED with GAP");
                return self.breach(&rules::C_GAP_FLAG, seen);
            }
            Form::Resumable { opened: false } => {
                self.begun(id, frame);
            }
            Form::Unknown | Form::Plain | Form::Resumable { .. } | Form::Resume { .. } => {}
        }
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        if conn.session != Some(frame.session_id) {
            return self.breach(&rules::C_DATA, format!("connection {id}: {frame:?}"));
        }
        let most = conn.base + conn.data;
        let least = conn.received.max(1);
        let started = conn.base > 0 || conn.incarnation.is_some_and(|at| at == 0);
        if received > most || (started && received < least) || received < conn.received {
            let seen = format!("connection {id}: {received} received, of {least} to {most}");
            return self.breach(&rules::C_RECEIVED, seen);
        }
        conn.received = received;
        conn.renewed = Some(self.now);
        let incarnation = conn.incarnation;
        if let Some(session) = self.sessions.get_mut(&frame.session_id) {
            let opened = incarnation.and_then(|at| session.incarnations.get_mut(at));
            if let Some(Incarnation {
                received: (least, _),
                ..
            }) = opened
            {
                *least = received.max(*least);
            }
            if let (ClientWhat::Opened { token, .. }, Some(at)) = (&frame.what, incarnation)
                && !token.is_empty()
            {
                session.tokens.insert(token.clone(), at);
            }
        }
    }

    fn data_to_client(&mut self, id: u64, frame: &ClientFrame) {
        let service = self.service(&frame.service);
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let session_id = *conn.session.get_or_insert(frame.session_id);
        let conn_life = conn.life.map(|life| (conn.player, life));
        let plain = conn.form == Form::Plain;
        let seen = || format!("connection {id}: {frame:?}");
        if session_id != frame.session_id || frame.user_id != 0 || service.is_none() {
            return self.breach(&rules::C_DATA, seen());
        }
        let ClientWhat::Data { payload, .. } = frame.what else {
            return;
        };
        if let Some(life) = conn_life.filter(|_| plain) {
            let session = self.sessions.entry(session_id).or_default();
            session.of.get_or_insert(life);
            let life = self.lives.entry(life).or_default();
            life.session.get_or_insert(session_id);
        }
        let session = self.sessions.entry(session_id).or_default();
        if conn_life.is_some() && session.of.is_some() && session.of != conn_life {
            return self.breach(&rules::DOWN_STRANGE, seen());
        }
        if frame.realm_id != 0 && !session.realms.contains(&frame.realm_id) {
            return self.breach(&rules::DOWN_REALM, seen());
        }
        if let Some(payload) = payload {
            let multicast = payload.player == u32::MAX;
            let process = super::Process::origin(payload);
            let down = session.down.get(&process);
            let known = down.and_then(|down| {
                let at = down.index.get(&(multicast, payload.number))?;
                down.frames.get(*at)
            });
            let Some(known) = known else {
                return self.breach(&rules::DOWN_STRANGE, seen());
            };
            if Some(known.service) != service {
                return self.breach(&rules::C_DATA, seen());
            }
            let only = |realm: u32| session.bound.iter().all(|(_, _, bound)| *bound == realm);
            let due = known.realm.filter(|realm| only(*realm));
            if due.is_some_and(|realm| realm != frame.realm_id) {
                return self.breach(&rules::DOWN_REALM, seen());
            }
        }
        self.owner_speaks(id, "DATA");
    }

    fn error_to_client(&mut self, id: u64, frame: &ClientFrame, code: u16) {
        let now = self.now;
        let service = self.service(&frame.service);
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let (contradicted, session) = (conn.contradicted, conn.session);
        let (answers, incarnation) = (matches!(conn.form, Form::Resume { .. }), conn.incarnation);
        if let (502, Some(service)) = (code, service)
            && let Some(at) = conn.owed_errors.iter().position(|owed| *owed == service)
        {
            conn.owed_errors.remove(at);
        }
        if code == 403 && !contradicted {
            let seen = format!("connection {id}: {frame:?}");
            return self.breach(&rules::C_FORBIDDEN, seen);
        }
        let session = session.and_then(|id| self.sessions.get(&id));
        let opened = session.and_then(|s| s.incarnations.get(incarnation?));
        let replayed = answers && opened.is_some_and(|i| i.opened.at == now.at);
        let life = session.and_then(|s| s.of);
        if let (Some(life), Some(service)) = (life, service) {
            let error = SentError {
                sent: now,
                code,
                service,
                told: false,
                spent: false,
                replayed,
            };
            self.lives.entry(life).or_default().errors.push(error);
        }
        self.error_founded(id, code, service);
    }

    fn close_to_client(&mut self, id: u64, code: u16) {
        let now = self.now;
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        conn.closed = Some(now);
        conn.replaced = code == 205;
        let refused = matches!(
            conn.form,
            Form::Resume {
                answered: false,
                ..
            }
        );
        if refused {
            self.report.resumes_refused += 1;
            if code != 205 {
                self.check_failed_claim(id);
            }
        }
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        let asked = |session: &Session| session.attempts.iter().any(|a| a.conn != id);
        let session = conn.session.and_then(|id| self.sessions.get(&id));
        if code == 205 && !session.is_some_and(asked) {
            let seen = format!("connection {id}: CLOSE 205, and nobody resumed");
            self.breach(&rules::C_REPLACED, seen);
        }
    }

    /// A player's library hands a frame to the network.
    pub(super) fn player_wrote(&mut self, id: u64, frame: &ClientFrame) {
        let now = self.now;
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        if let ClientWhat::Data {
            payload: Some(payload),
            ..
        } = frame.what
            && let Some(life) = self.lives.get_mut(&(conn.player, payload.life))
            && let Some(up) = life.sent.get_mut(payload.number as usize - 1)
            && up.written.is_none()
        {
            (up.era, up.written) = (life.era, Some(now));
        }
    }

    /// A frame of a player has arrived at a gateway.
    pub(super) fn gateway_read(&mut self, id: u64, frame: &ClientFrame) {
        let now = self.now;
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        if conn.closed.is_some() || conn.gone || conn.player_closed {
            return;
        }
        if self.owes_error(id) {
            return self.breach(&rules::ERROR_OWED, format!("connection {id}"));
        }
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        match &frame.what {
            ClientWhat::Data { resumable, payload } => {
                if conn.form == Form::Unknown && !frame.service.is_empty() {
                    conn.form = match resumable {
                        true => Form::Resumable { opened: false },
                        false => Form::Plain,
                    };
                }
                conn.data += 1;
                if let Some(payload) = payload {
                    conn.life = Some(payload.life);
                }
                self.data_arrived(id, frame);
            }
            ClientWhat::Resume { token, .. } if conn.form == Form::Unknown => {
                conn.session = Some(frame.session_id);
                let gateway = conn.gateway;
                let session = self.sessions.entry(frame.session_id).or_default();
                let token = session.tokens.get(token).copied();
                let (used, since) = session.used;
                // Within one moment the frame that uses it may still wait to be read.
                let used = token.is_some_and(|at| at < used) && since.at < now.at;
                session.attempts.push(Attempt {
                    gateway,
                    asked: now,
                    token,
                    conn: id,
                    succeeded: false,
                });
                let asked = now;
                let answered = false;
                conn.form = Form::Resume {
                    token,
                    asked,
                    used,
                    answered,
                };
                return;
            }
            ClientWhat::Close(_) => {
                conn.player_closed = true;
                if let Some(id) = conn.session {
                    self.session_ends(id);
                }
                return;
            }
            _ => {}
        }
        self.token_used(id);
    }

    fn data_arrived(&mut self, id: u64, frame: &ClientFrame) {
        let (now, mut forbidden) = (self.now, false);
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        if let Some(session) = conn.session.and_then(|id| self.sessions.get_mut(&id)) {
            if frame.realm_id != 0 {
                session.realms.insert(frame.realm_id);
            }
            let opened = conn.incarnation;
            if let Some(opened) = opened.and_then(|at| session.incarnations.get_mut(at)) {
                opened.received.1 = opened.received.1.max(conn.base + conn.data);
            }
            let differs = |bound: u64, sent: u64| bound != 0 && sent != 0 && bound != sent;
            for (since, user, realm) in &session.bound {
                let contradicts = differs(*user, frame.user_id)
                    || differs((*realm).into(), frame.realm_id.into());
                conn.contradicted |= contradicts;
                // Within one moment the news may still be on its way inside the gateway.
                forbidden = contradicts && since.at < now.at;
            }
        } else if frame.realm_id != 0 {
            conn.first_realms.push(frame.realm_id);
        }
        if let ClientWhat::Data {
            payload: Some(payload),
            ..
        } = frame.what
            && let Some(life) = self.lives.get_mut(&(conn.player, payload.life))
            && let Some(up) = life.sent.get_mut(payload.number as usize - 1)
        {
            up.arrived.get_or_insert(now);
            up.arrived_last = Some(now);
            up.gateways.insert(conn.gateway);
            up.contradicts |= forbidden;
        }
    }

    /// A frame of a gateway has arrived at its player.
    pub(super) fn player_read(&mut self, id: u64, frame: &ClientFrame) {
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        let session = conn.session.and_then(|id| self.sessions.get(&id));
        let Some(of) = session.and_then(|session| session.of) else {
            return;
        };
        if let (ClientWhat::Opened { gap, .. }, Form::Resume { .. }) = (&frame.what, conn.form)
            && of.0 == conn.player
            && let Some(life) = self.lives.get_mut(&of)
        {
            life.answer = Some(*gap);
        }
    }
}
