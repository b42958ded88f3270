//! Text forms of the effects of a core.

use super::*;

/// An OPEN.
pub(super) fn opened(open: &[u8]) -> String {
    let open = Open::decode(open).unwrap();
    let from = open.previous_gateway;
    let text = match open.flags & (OPEN_RESUMED | OPEN_TRANSFERRED) {
        0 => format!("OPEN epoch {}", open.epoch),
        OPEN_TRANSFERRED => {
            let state = String::from_utf8_lossy(open.state);
            format!("OPEN transferred epoch {} state {state}", open.epoch)
        }
        _ => format!("OPEN resumed epoch {} from {from}", open.epoch),
    };
    match open.flags & (OPEN_USER_BOUND | OPEN_REALM_BOUND) {
        0 => text,
        flags => format!("{text} bound {flags}: {} {}", open.user_id, open.realm_id),
    }
}

/// An effect in words; none for what is only counted.
pub(super) fn words(effect: &Effect) -> Option<String> {
    Some(match effect {
        Effect::Send(frame) => {
            let Ok(Decoded::Frame(frame, _)) = client::decode(frame, 65_536) else {
                panic!("not a frame");
            };
            let kind = Kind::from_byte(frame.header.kind).unwrap();
            match kind {
                Kind::Error => {
                    let code = u16::from_be_bytes([frame.payload[0], frame.payload[1]]);
                    format!("ERROR {code} {}", frame.service)
                }
                kind => format!("{kind:?}"),
            }
        }
        Effect::SendOpened(opened) => {
            let gap = if opened.gap { " GAP" } else { "" };
            let epoch = opened.token.as_ref().map_or(0, |token| token.epoch);
            let assigned = opened.token.iter().flat_map(|token| &token.assigned);
            let assigned: String = assigned
                .map(|it| format!(" {} at {}", it.service, it.endpoint))
                .collect();
            format!("OPENED {} epoch {epoch}{gap}{assigned}", opened.received)
        }
        Effect::Replay { frames, .. } => format!("replay {frames}"),
        Effect::LeaveConnection(closing) => format!("leave connection: {}", code_of(closing)),
        Effect::TakeConnection => "take connection".into(),
        Effect::RefuseConnection(closing) => format!("refuse: {}", code_of(closing)),
        Effect::Close(closing) => format!("close: {}", code_of(closing)),
        Effect::Register { .. } => "register".into(),
        Effect::Locate(_) => "locate".into(),
        Effect::Enlist(_) => "enlist".into(),
        Effect::Unregister => "unregister".into(),
        Effect::Moved(to) => format!("moved to {}", to.gateway),
        Effect::Route(route) => {
            let to = route
                .assigned
                .map_or(String::new(), |to| format!("to {to} "));
            format!("route {} {to}{}", route.service, opened(&route.open))
        }
        Effect::Reach(reach) => format!("reach {} {}", reach.service, opened(&reach.open)),
        Effect::Elsewhere(elsewhere) => format!("elsewhere {}", elsewhere.service),
        Effect::Call { to, say, .. } => format!("to {}: {}", to.gateway, said(say)),
        Effect::CancelCall(_) => "cancel call".into(),
        Effect::Reply { to, say } => format!("to {}: {}", to.at.gateway, replied(say)),
        Effect::Note(_) => return None,
    })
}

fn code_of(closing: &Closing) -> String {
    let code = closing.outcome().client;
    code.map_or("nothing".into(), |code| code.0.to_string())
}

fn said(say: &ToOwner) -> String {
    match say {
        ToOwner::Ask { token_epoch } => format!("ask {token_epoch}"),
        ToOwner::Claim { count, places } => format!("claim {count} {places:?}"),
        ToOwner::GiveUp { stale } => format!("give up stale={stale}"),
        ToOwner::Withdraw => "withdraw".into(),
        ToOwner::Supersede { epoch } => format!("supersede epoch={epoch}"),
        ToOwner::End { code } => format!("end {code}"),
    }
}

fn replied(say: &ToClaimant) -> String {
    match say {
        ToClaimant::Holds { epoch, .. } => format!("holds {epoch}"),
        ToClaimant::HoldsMore { .. } => "holds more".into(),
        ToClaimant::Handover(handed) => {
            let gap = if handed.gap { " GAP" } else { "" };
            let assigned = handed.assigned.iter();
            let assigned: String = assigned
                .map(|to| format!(" {} at {}", to.service, to.endpoint))
                .collect();
            format!("hand over received {}{gap}{assigned}", handed.received)
        }
        ToClaimant::Ended { code } => format!("ended {code}"),
        ToClaimant::Moved { gateway, .. } => format!("moved to {gateway}"),
        other => format!("{other:?}").to_lowercase(),
    }
}
