//! A player: the session core of the client library that ships, with an application that sends.

use std::collections::BTreeMap;
use std::time::Duration;

use actix_codec::Decoder;
use bytes::BytesMut;
use game_gateway::codec::client::Kind;
use game_gateway::codec::framed::ClientCodec;
use game_gateway::sdk::client::Outgoing;
use game_gateway::sdk::client::session::Event as Told;
use game_gateway::sdk::client::session::core::{Effect, SessionCore, SessionOptions};

use crate::dice::Dice;
use crate::network::{Item, Purpose};
use crate::plain::{PlainCore, PlayerCore};
use crate::plan::Plan;
use crate::wire::{Millis, Payload, Seen, Side};
use crate::world::{Event, GATEWAYS, SERVICES, World};

/// Lives of a player in a run.
const MAX_LIVES: u32 = 6;

pub(crate) struct Player {
    at: usize,
    pub(crate) core: Option<PlayerCore>,
    /// Its sessions cannot be resumed.
    plain: bool,
    pub(crate) life: u32,
    pub(crate) dice: Dice,
    number: u64,
    conns: BTreeMap<u64, (usize, BytesMut)>,
    options: SessionOptions,
    armed: Millis,
    /// RESUME frames whose tokens are used.
    pub(crate) used: Vec<Vec<u8>>,
    /// The one that was shown last, and on which connection.
    shown: Option<(u64, Vec<u8>)>,
}

impl Player {
    pub(crate) fn new(at: usize, plan: &Plan) -> Player {
        let options = SessionOptions {
            connect_timeout: Duration::from_millis(plan.player_timeout),
            resume_timeout: Duration::from_millis(plan.player_timeout),
            first_wait: Duration::from_millis(plan.first_wait),
            longest_wait: Duration::from_secs(4),
            give_up_after: Duration::from_millis(plan.give_up_after),
            ..SessionOptions::default()
        };
        Player {
            at,
            core: None,
            plain: plan.is_plain(at),
            life: 0,
            dice: Dice::new(plan.seed, &[4, at as u64]),
            number: 0,
            conns: BTreeMap::new(),
            options,
            armed: Millis::MAX,
            used: Vec::new(),
            shown: None,
        }
    }
}

impl World {
    /// A player starts a session.
    pub(crate) fn player_begins(&mut self, player: usize) {
        if self.closing {
            return;
        }
        let now = self.now;
        let p = &mut self.players[player];
        let mut core = SessionCore::new(p.options.clone(), p.dice.next(), now);
        core.timer(now);
        p.core = Some(match p.plain {
            true => PlayerCore::Plain(PlainCore::new()),
            false => PlayerCore::Resumable(Box::new(core)),
        });
        p.number = 0;
        p.shown = None;
        self.counts.sessions += 1;
        let service = p.dice.index(SERVICES.len());
        self.player_acts(player);
        self.player_says(player, service, 1);
    }

    /// Executes the effects of a player's core.
    pub(crate) fn player_acts(&mut self, player: usize) {
        loop {
            let p = &mut self.players[player];
            let Some(effect) = p.core.as_mut().and_then(PlayerCore::next_effect) else {
                break;
            };
            match effect {
                Effect::Connect(conn) => self.player_connects(player, conn),
                Effect::Send(conn, bytes) => self.player_sends(player, conn, bytes.to_vec()),
                Effect::Disconnect(conn) => self.player_drops(player, conn),
                Effect::Tell(event) => self.player_told(player, &event),
            }
        }
        let p = &mut self.players[player];
        if let Some(due) = p.core.as_ref().and_then(PlayerCore::deadline)
            && due < p.armed
        {
            p.armed = due;
            self.at(due, Event::PlayerTimer(player));
        }
    }

    pub(crate) fn player_timer(&mut self, player: usize) {
        let now = self.now;
        let p = &mut self.players[player];
        if p.armed > now {
            return;
        }
        p.armed = Millis::MAX;
        if let Some(core) = &mut p.core
            && core.deadline().is_some_and(|due| due <= now)
        {
            core.timer(now);
        }
        self.player_acts(player);
    }

    fn player_connects(&mut self, player: usize, conn: u64) {
        let life = self.players[player].life;
        let dice = &mut self.players[player].dice;
        let first = dice.index(GATEWAYS);
        let blind = dice.one_in(8);
        // A load balancer knows who is ready, mostly.
        let ready = |at: &usize| {
            let g = &self.gateways[*at];
            g.alive && g.drain.is_none()
        };
        let order = || (0..GATEWAYS).map(|at| (first + at) % GATEWAYS);
        let gateway = order().find(|at| blind || ready(at)).unwrap_or(first);
        if !self.gateways[gateway].alive {
            return self.after(3, Event::PlayerRefused { player, life, conn });
        }
        let wire = self.wire(Purpose::Client { gateway, player });
        self.wires[wire].far = Some((life, conn));
        self.players[player]
            .conns
            .insert(conn, (wire, BytesMut::new()));
        self.opened(wire);
        let (a, b) = self.wires[wire].delay;
        let delay = self.wires[wire].dice.between(a, b);
        self.after(delay, Event::Accept { wire });
        self.after(delay + 1, Event::PlayerConnected { wire });
    }

    pub(crate) fn player_connected(&mut self, wire: usize) {
        let Purpose::Client { player, .. } = self.wires[wire].purpose else {
            return;
        };
        let Some((life, conn)) = self.wires[wire].far else {
            return;
        };
        let now = self.now;
        let p = &mut self.players[player];
        if p.life == life
            && p.conns.contains_key(&conn)
            && let Some(core) = &mut p.core
        {
            core.connected(now, conn);
            self.player_acts(player);
        }
    }

    pub(crate) fn player_refused(&mut self, player: usize, life: u32, conn: u64) {
        let now = self.now;
        let p = &mut self.players[player];
        if p.life == life
            && let Some(core) = &mut p.core
        {
            core.connect_failed(now, conn);
            self.player_acts(player);
        }
    }

    fn player_sends(&mut self, player: usize, conn: u64, bytes: Vec<u8>) {
        let now = self.now;
        let p = &mut self.players[player];
        let Some((wire, _)) = p.conns.get(&conn) else {
            return;
        };
        let (wire, len) = (*wire, bytes.len());
        if bytes.get(3) == Some(&(Kind::Resume as u8)) {
            p.shown = Some((conn, bytes.clone()));
        }
        self.send(wire, Side::Gateway, bytes);
        if let Some(core) = &mut self.players[player].core {
            core.wrote(now, conn, len);
        }
    }

    /// The player's side of a connection is gone, what waits on it included.
    fn player_drops(&mut self, player: usize, conn: u64) {
        if let Some((wire, _)) = self.players[player].conns.remove(&conn) {
            self.wires[wire].far = None;
            if self.wires[wire].dice.one_in(2) {
                self.end(wire, Side::Gateway);
            }
            let within = self.plan.cut_noticed;
            self.cut_from(wire, Side::Remote, within);
        }
    }

    fn player_told(&mut self, player: usize, event: &Told) {
        let life = self.players[player].life;
        self.see(&Seen::PlayerTold {
            player,
            life,
            event,
        });
        match event {
            Told::Data(_) => self.counts.frames_down += 1,
            Told::Resumed { .. } => {
                let p = &mut self.players[player];
                if let Some((_, frame)) = p.shown.take() {
                    p.used.push(frame);
                }
            }
            Told::Ended(_) => self.player_ends(player),
            Told::Started(_) | Told::Error(_) | Told::Interrupted => {}
        }
    }

    /// This life is over; perhaps another one begins.
    fn player_ends(&mut self, player: usize) {
        let p = &mut self.players[player];
        p.core = None;
        p.life += 1;
        p.armed = Millis::MAX;
        let conns = std::mem::take(&mut p.conns);
        let again = p.dice.between(50, 1500);
        let lives = p.life < MAX_LIVES;
        for (_, (wire, _)) in conns {
            self.wires[wire].far = None;
            self.cut_from(wire, Side::Remote, 50);
        }
        if lives && !self.closing {
            self.after(again, Event::PlayerBegins(player));
        }
    }

    pub(crate) fn player_reads(&mut self, wire: usize, item: Item) {
        let Purpose::Client { player, .. } = self.wires[wire].purpose else {
            return;
        };
        let Some((life, conn)) = self.wires[wire].far else {
            return; // A stranger's, or one that was dropped.
        };
        if player >= self.players.len() || self.players[player].life != life {
            return;
        }
        let now = self.now;
        match item {
            Item::Bytes(bytes) => {
                if let Some((_, buffer)) = self.players[player].conns.get_mut(&conn) {
                    buffer.extend_from_slice(&bytes);
                }
                self.player_decodes(player, conn);
            }
            Item::End | Item::Lost => {
                self.players[player].conns.remove(&conn);
                self.wires[wire].far = None;
                self.cut_from(wire, Side::Remote, self.plan.cut_noticed);
                if let Some(core) = &mut self.players[player].core {
                    core.lost(now, conn);
                }
                self.player_acts(player);
            }
        }
    }

    fn player_decodes(&mut self, player: usize, conn: u64) {
        let mut codec = ClientCodec {
            max_payload: 1 << 20,
        };
        loop {
            let now = self.now;
            let p = &mut self.players[player];
            let (Some((_, buffer)), Some(core)) = (p.conns.get_mut(&conn), &mut p.core) else {
                return;
            };
            if !core.takes_frames(conn) {
                return;
            }
            match codec.decode(buffer) {
                Ok(Some(frame)) => core.received(now, conn, frame),
                Ok(None) => return self.player_acts(player),
                Err(error) => core.broken(conn, error),
            }
            self.player_acts(player);
        }
    }

    /// The application sends some frames.
    pub(crate) fn player_says(&mut self, player: usize, service: usize, count: u64) {
        let now = self.now;
        for _ in 0..count {
            let p = &mut self.players[player];
            let Some(core) = p.core.as_mut().filter(|core| core.takes_data()) else {
                return;
            };
            p.number += 1;
            let (life, number) = (p.life, p.number);
            let payload = Payload {
                player: p.at as u32,
                life,
                service: service as u8,
                backend: 255,
                number,
            }
            .encode();
            let service = SERVICES[service];
            self.log.see(
                now,
                &Seen::PlayerSent {
                    player,
                    life,
                    service,
                    number,
                    payload: &payload,
                },
            );
            core.send(now, &Outgoing::to(service), &payload);
            self.player_acts(player);
        }
    }

    pub(crate) fn player_closes(&mut self, player: usize) -> bool {
        let (now, life) = (self.now, self.players[player].life);
        if self.players[player].core.is_none() {
            return false;
        }
        self.see(&Seen::PlayerCloses { player, life });
        if let Some(core) = &mut self.players[player].core {
            core.close(now);
        }
        self.player_acts(player);
        true
    }

    pub(crate) fn player_vanishes(&mut self, player: usize) -> bool {
        let life = self.players[player].life;
        if self.players[player].core.is_none() {
            return false;
        }
        self.see(&Seen::PlayerGone { player, life });
        self.player_ends(player);
        true
    }

    /// Sessions are closed; players who have none begin none.
    pub(crate) fn close_down(&mut self) {
        self.closing = true;
        self.see(&Seen::Closing);
        for player in 0..self.players.len() {
            self.player_closes(player);
        }
    }
}
