//! Words of a gateway about who a session is.

use super::model::Standing;
use super::{Audit, rules};

impl Audit {
    /// BOUND goes to a backend that has the session open, and repeats what backends have said.
    pub(super) fn bound_said(&mut self, id: u64, session_id: u64, (user, realm): (u64, u32)) {
        let full = self.links.get(&id).is_some_and(|link| link.full);
        let standing = self.place(id, session_id).standing;
        let session = self.sessions.entry(session_id).or_default();
        let said = |is_its: &dyn Fn(u64, u32) -> bool| {
            session
                .binds
                .iter()
                .any(|(user, realm)| is_its(*user, *realm))
        };
        let known = (user == 0 || said(&|bound, _| bound == user))
            && (realm == 0 || said(&|_, bound| bound == realm));
        // What waits on a full link was said before the session left it.
        let open = full || matches!(standing, Standing::Open | Standing::ByBackend(_));
        if !known || !open || (user == 0 && realm == 0) {
            let seen =
                format!("session {session_id}, link {id}: BOUND {user} {realm}, {standing:?}");
            self.breach(&rules::L_BOUND, seen);
        }
    }
}
