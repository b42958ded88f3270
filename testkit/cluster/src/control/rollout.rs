//! The arithmetic of a rolling update: how many pods each ReplicaSet should have next. Pure.

use serde_json::Value;

/// One ReplicaSet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Set {
    /// Pods that it should have.
    pub(super) wanted: usize,
    /// Those that are available.
    pub(super) available: usize,
}

/// The specification of a Deployment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) replicas: usize,
    pub(super) surge: usize,
    pub(super) unavailable: usize,
}

impl Plan {
    pub(super) fn of(deployment: &Value) -> Plan {
        let replicas = super::count(&deployment["spec"]["replicas"]);
        let rolling = &deployment["spec"]["strategy"]["rollingUpdate"];
        let percent = |value: &Value| {
            let text = value.as_str().and_then(|text| text.strip_suffix('%'));
            text.and_then(|text| text.parse::<usize>().ok())
        };
        let surge = &rolling["maxSurge"];
        let surge = match percent(surge) {
            Some(percent) => (replicas * percent).div_ceil(100),
            None => super::count(surge),
        };
        let unavailable = &rolling["maxUnavailable"];
        let unavailable = match percent(unavailable) {
            Some(percent) => replicas * percent / 100,
            None => super::count(unavailable),
        };
        // With neither nothing could ever move.
        let stuck = surge == 0 && unavailable == 0;
        Plan {
            replicas,
            surge,
            unavailable: if stuck { 1 } else { unavailable },
        }
    }

    /// Returns the next number of pods of the new set.
    pub(super) fn next_new(&self, new: Set, old: &[Set]) -> usize {
        let there = new.wanted + old.iter().map(|set| set.wanted).sum::<usize>();
        let room = (self.replicas + self.surge).saturating_sub(there);
        (new.wanted + room).min(self.replicas)
    }

    /// Returns the next number of pods of each old set: those that are not available go first, then as
    /// many as the available ones allow, from the oldest set on.
    pub(super) fn next_old(&self, new: Set, old: &[Set]) -> Vec<usize> {
        let least = self.replicas.saturating_sub(self.unavailable);
        let there = new.wanted + old.iter().map(|set| set.wanted).sum::<usize>();
        let coming = new.wanted.saturating_sub(new.available);
        let mut may_go = there.saturating_sub(least + coming);
        let mut next: Vec<usize> = old.iter().map(|set| set.wanted).collect();
        for (wanted, set) in next.iter_mut().zip(old) {
            let gone = wanted.saturating_sub(set.available).min(may_go);
            *wanted -= gone;
            may_go -= gone;
        }
        let available = new.available + old.iter().map(|set| set.available).sum::<usize>();
        let mut may_go = available.saturating_sub(least).min(may_go);
        for wanted in &mut next {
            let gone = (*wanted).min(may_go);
            *wanted -= gone;
            may_go -= gone;
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const fn set(wanted: usize, available: usize) -> Set {
        Set { wanted, available }
    }

    fn plan(replicas: usize, surge: &str, unavailable: usize) -> Plan {
        Plan::of(
            &json!({ "spec": { "replicas": replicas, "strategy": { "rollingUpdate": {
            "maxSurge": surge, "maxUnavailable": unavailable,
        } } } }),
        )
    }

    #[test]
    fn all_new_pods_come_first_and_each_that_is_available_lets_an_old_one_go() {
        let plan = plan(3, "100%", 0);
        let old = [set(3, 3)];
        assert_eq!(plan.next_new(set(0, 0), &old), 3);
        for available in 0..=3 {
            assert_eq!(plan.next_old(set(3, available), &old), [3 - available]);
        }
    }

    #[test]
    fn a_quarter_at_a_time() {
        let plan = plan(4, "25%", 0);
        let old = [set(4, 4)];
        assert_eq!(plan.next_new(set(0, 0), &old), 1);
        assert_eq!(plan.next_old(set(1, 0), &old), [4]);
        assert_eq!(plan.next_old(set(1, 1), &old), [3]);
        assert_eq!(plan.next_new(set(1, 1), &[set(3, 3)]), 2);
    }

    #[test]
    fn a_bad_version_in_between_goes_before_the_good_old_one() {
        let plan = plan(3, "100%", 0);
        let old = [set(3, 3), set(3, 0)];
        assert_eq!(plan.next_old(set(0, 0), &old), [3, 0]);
        assert_eq!(plan.next_new(set(0, 0), &[set(3, 3), set(0, 0)]), 3);
    }

    #[test]
    fn scaling_is_at_once() {
        let plan = plan(2, "100%", 0);
        assert_eq!(plan.next_new(set(5, 5), &[]), 2);
        assert_eq!(plan.next_new(set(0, 0), &[]), 2);
    }
}
