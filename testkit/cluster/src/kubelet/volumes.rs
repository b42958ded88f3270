//! A pod's volumes: ConfigMaps, Secrets and empty directories, written as a kubelet writes them, so
//! that a change of all files of a volume is one rename.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::translation::Translation;
use crate::api::protobuf::from_base64;
use crate::store::{Key, Store};

/// The files of one volume.
type Files = BTreeMap<String, Vec<u8>>;

/// Returns the paths of the container's mounts on this machine.
pub(super) fn mounts(pod: &Value, directory: &Path) -> Vec<(String, PathBuf)> {
    let mounts = pod["spec"]["containers"][0]["volumeMounts"].as_array();
    let place = |mount: &Value| {
        let name = mount["name"].as_str()?;
        let mut real = directory.join(name);
        real.extend(mount["subPath"].as_str());
        Some((mount["mountPath"].as_str()?.to_owned(), real))
    };
    mounts.into_iter().flatten().filter_map(place).collect()
}

/// Returns the contents of the volumes by name, or the reason if something is missing. Empty
/// directories are volumes without files.
pub(super) fn read(store: &Store, pod: &Value) -> Result<BTreeMap<String, Files>, String> {
    let mut all = BTreeMap::new();
    for volume in pod["spec"]["volumes"].as_array().into_iter().flatten() {
        let name = volume["name"].as_str().unwrap_or("");
        let files = if volume["emptyDir"].is_object() {
            Files::new()
        } else if let Some(sources) = volume["projected"]["sources"].as_array() {
            let mut files = Files::new();
            for source in sources {
                files.extend(source_files(store, pod, source)?);
            }
            files
        } else {
            source_files(store, pod, volume)?
        };
        all.insert(name.to_owned(), files);
    }
    Ok(all)
}

fn source_files(store: &Store, pod: &Value, source: &Value) -> Result<Files, String> {
    let (plural, source) = if source["configMap"].is_object() {
        ("configmaps", &source["configMap"])
    } else if source["secret"].is_object() {
        ("secrets", &source["secret"])
    } else {
        return Err(format!(
            "a volume of a kind that is not played here: {source}"
        ));
    };
    let name = source["name"]
        .as_str()
        .or(source["secretName"].as_str())
        .unwrap_or("");
    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or("");
    let optional = source["optional"] == true;
    let entries = match entries(store, plural, namespace, name) {
        Ok(entries) => entries,
        Err(_) if optional => return Ok(Files::new()),
        Err(why) => return Err(why),
    };
    let Some(items) = source["items"].as_array() else {
        return Ok(entries);
    };
    let mut files = Files::new();
    for item in items {
        let key = item["key"].as_str().unwrap_or("");
        match entries.get(key) {
            Some(bytes) => {
                let path = item["path"].as_str().unwrap_or(key);
                files.insert(path.to_owned(), bytes.clone());
            }
            None if optional => {}
            None => return Err(format!("{plural} {name:?} has no key {key:?}")),
        }
    }
    Ok(files)
}

/// Returns all entries of a ConfigMap or Secret.
pub(super) fn entries(
    store: &Store,
    plural: &'static str,
    namespace: &str,
    name: &str,
) -> Result<Files, String> {
    let key = Key {
        plural,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    };
    let object = store
        .get(&key)
        .ok_or_else(|| format!("{plural} {name:?} not found"))?;
    let mut entries = Files::new();
    for (entry, value) in object["data"].as_object().into_iter().flatten() {
        let text = value.as_str().unwrap_or("");
        let bytes = match plural {
            "secrets" => from_base64(text).ok_or_else(|| format!("{entry} is no base64"))?,
            _ => text.as_bytes().to_vec(),
        };
        entries.insert(entry.clone(), bytes);
    }
    for (entry, value) in object["binaryData"].as_object().into_iter().flatten() {
        let bytes = from_base64(value.as_str().unwrap_or(""));
        entries.insert(
            entry.clone(),
            bytes.ok_or_else(|| format!("{entry} is no base64"))?,
        );
    }
    Ok(entries)
}

/// Writes the volumes below `directory`; `turn` is another number at each change.
pub(super) fn write(
    directory: &Path,
    volumes: &BTreeMap<String, Files>,
    translation: &Translation,
    turn: usize,
) -> io::Result<()> {
    for (name, files) in volumes {
        let volume = directory.join(name);
        let contents = format!("..{turn}");
        fs::create_dir_all(volume.join(&contents))?;
        for (file, bytes) in files {
            let path = volume.join(&contents).join(file);
            fs::create_dir_all(path.parent().unwrap_or(&volume))?;
            // Only text can name paths and addresses.
            match std::str::from_utf8(bytes) {
                Ok(text) => fs::write(path, translation.text(text))?,
                Err(_) => fs::write(path, bytes)?,
            }
            let first = Path::new(file).iter().next().unwrap_or_default();
            if volume.join(first).symlink_metadata().is_err() {
                symlink(Path::new("..data").join(first), volume.join(first))?;
            }
        }
        symlink(&contents, volume.join("..data_tmp"))?;
        fs::rename(volume.join("..data_tmp"), volume.join("..data"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_volume_changes_as_a_whole() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Store::new();
        let resource =
            crate::api::discovery::Resource::by_plural("configmaps").expect("a resource");
        let map = json!({ "metadata": { "name": "m" }, "data": { "a": "listen /c", "b": "1" } });
        store.create(resource, "default", map).expect("made");
        let pod = json!({ "metadata": { "namespace": "default" }, "spec": {
            "volumes": [{ "name": "v", "configMap": { "name": "m" } }],
            "containers": [{ "volumeMounts": [{ "name": "v", "mountPath": "/c" }] }],
        } });
        let mounts = mounts(&pod, directory.path());
        let real = directory.path().join("v");
        assert_eq!(mounts, [("/c".to_owned(), real.clone())]);
        let mut translation = Translation::default();
        translation.mount("/c", &real);
        let volumes = read(&store, &pod).expect("all there");
        write(directory.path(), &volumes, &translation, 0).expect("written");
        let text = fs::read_to_string(real.join("a")).expect("a file");
        assert_eq!(text, format!("listen {}", real.display()));

        let key = Key {
            plural: "configmaps",
            namespace: "default".into(),
            name: "m".into(),
        };
        let change = |map: &mut Value| {
            map["data"]["a"] = json!("2");
            Ok(())
        };
        store.update(&key, change).expect("changed");
        let volumes = read(&store, &pod).expect("all there");
        write(directory.path(), &volumes, &translation, 1).expect("written");
        assert_eq!(fs::read_to_string(real.join("a")).expect("a file"), "2");
        store.remove(&key).expect("there");
        let why = read(&store, &pod).expect_err("missing");
        assert_eq!(why, "configmaps \"m\" not found");
    }
}
