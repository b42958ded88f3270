//! Deletes what has lost its owner.

use std::collections::HashSet;

use crate::store::Store;

pub(super) fn collect(store: &Store) {
    let all = store.all();
    let uid = |object: &serde_json::Value| object["metadata"]["uid"].clone();
    let there: HashSet<String> = all.iter().map(|(_, o)| uid(o).to_string()).collect();
    for (key, object) in &all {
        let owner = &object["metadata"]["ownerReferences"][0]["uid"];
        if !owner.is_null() && !there.contains(&owner.to_string()) {
            // It may have gone by itself meanwhile.
            let _ = store.delete(key, None);
        }
    }
}
