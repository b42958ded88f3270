//! Commands that documents tell a reader to type.

use std::fs;

use crate::tools::{HELMS, chart, objects, output, parse, pods, release, repository};

/// The documents with commands of Helm, from the repository's root.
const DOCUMENTS: [&str; 3] = [
    "README.md",
    "docs/kubernetes.md",
    "helm/game-gateway/README.md",
];
/// A file that a reader is told to have, not one of the repository's.
const OWN_VALUES: &str = "my-values.yaml";

/// Returns the lines of a document that begin with this, comments and continuations put together.
fn commands(document: &str, start: &str) -> Vec<String> {
    let text = fs::read_to_string(repository(document)).expect("a document");
    let text = text.replace("\\\n", " ");
    let lines = text
        .lines()
        .map(|line| line.split(" #").next().unwrap_or(line));
    let lines = lines.map(str::trim).filter(|line| line.starts_with(start));
    lines.map(str::to_owned).collect()
}

/// Returns the option's value in a command, as written.
fn option<'a>(command: &'a str, name: &str) -> Option<&'a str> {
    let mut words = command.split_whitespace().skip_while(|word| *word != name);
    words.nth(1)
}

/// The first thing that a reader installs is there: rendered as it stands, with the image that
/// `scripts/image` makes and a file of values that exists.
#[test]
fn what_a_reader_installs_first_is_there() {
    let script = fs::read_to_string(repository("scripts/image")).expect("the script");
    let image = format!("localhost/game-gateway:{}", env!("CARGO_PKG_VERSION"));
    assert!(script.contains("image=localhost/game-gateway:"), "{script}");
    assert!(script.contains("\"$folder/game-gateway.tar\""));
    for document in DOCUMENTS {
        let first = commands(document, "helm install");
        let first = first.first().expect("an install").clone();
        let values = option(&first, "--values").expect("values");
        let file = repository(values);
        assert!(file.exists(), "{document}: {first}");
        assert!(
            first.starts_with("helm install gateway helm/game-gateway "),
            "{first}"
        );
        for helm in HELMS {
            let mut command = release(helm, "gateway", "default", &chart());
            let objects = parse(&output(command.arg("--values").arg(&file)));
            let gateways: Vec<_> = pods(&objects)
                .iter()
                .filter(|(name, _)| !name.contains("-redis"))
                .map(|(_, pod)| pod["spec"]["containers"][0].clone())
                .collect();
            assert!(gateways.len() >= 4);
            for container in gateways {
                assert_eq!(container["image"], *image, "{document}");
                // Nodes that lack it say so, and ask no registry on themselves.
                assert_eq!(container["imagePullPolicy"], "Never", "{document}");
            }
        }
    }
    for document in &DOCUMENTS[..2] {
        let loads = commands(document, "kind load");
        assert_eq!(
            loads,
            ["kind load image-archive target/image/game-gateway.tar"]
        );
        let text = fs::read_to_string(repository(document)).expect("a document");
        assert!(
            text.contains("k3s ctr images import target/image/game-gateway.tar"),
            "{document}"
        );
    }
}

/// All other files of values that documents name exist too, and commands name the release's objects.
#[test]
fn commands_name_what_is_there() {
    for document in DOCUMENTS {
        for command in commands(document, "helm ") {
            for word in command
                .split_whitespace()
                .filter(|word| word.ends_with(".yaml"))
            {
                let exists = word == OWN_VALUES || repository(word).exists();
                assert!(exists, "{document}: {command}");
            }
        }
    }
    let document = fs::read_to_string(repository("docs/kubernetes.md")).expect("the document");
    let set = [
        "routes.source=redis",
        "externalRedis.host=r",
        "routes.rules.a.strategy=realm_based",
    ];
    let rendered = objects(&set);
    let names: Vec<String> = rendered
        .iter()
        .filter_map(|one| one["metadata"]["name"].as_str())
        .map(|name| name.replacen("gg-", "gateway-", 1))
        .collect();
    for kind in ["job/", "service/"] {
        let mentioned = document.split(kind).skip(1);
        for name in mentioned.filter_map(|rest| rest.split_whitespace().next()) {
            let name = name.trim_end_matches(['`', ')', ';', ',']);
            assert!(names.iter().any(|one| one == name), "{kind}{name}");
        }
    }
}

/// `available_parallelism` counts what the CPU limit allows; documents must not say the cores of the node.
#[test]
fn documents_count_threads_by_the_cpu_limit() {
    let places = [
        (
            "docs/kubernetes.md",
            "one thread per core that the CPU limit allows",
        ),
        (
            "helm/game-gateway/README.md",
            "one thread per core that the CPU limit allows",
        ),
        ("src/config/mod.rs", "available_parallelism"),
    ];
    for (file, says) in places {
        let text = fs::read_to_string(repository(file)).expect("a file");
        assert!(text.contains(says), "{file}");
    }
}

/// Why a hook has failed is found by what the document says, and the Job ends before Helm gives up.
#[test]
fn the_job_ends_before_helms_patience() {
    let document = fs::read_to_string(repository("docs/kubernetes.md")).expect("the document");
    for command in [
        "kubectl describe job gateway-game-gateway-routes-job",
        "kubectl describe pods -l app.kubernetes.io/component=routes",
        "kubectl logs job/gateway-game-gateway-routes-job",
    ] {
        assert!(document.contains(command), "{command}");
    }
    let set = [
        "routes.source=redis",
        "externalRedis.host=r",
        "routes.rules.a.strategy=realm_based",
    ];
    let objects = objects(&set);
    let job = objects
        .iter()
        .find(|one| one["kind"] == "Job")
        .expect("a Job");
    let deadline = job["spec"]["activeDeadlineSeconds"]
        .as_u64()
        .expect("a number");
    // Helm's own default is five minutes.
    assert!(deadline < 300, "{deadline}");
    let labels = &job["spec"]["template"]["metadata"]["labels"];
    assert_eq!(labels["app.kubernetes.io/component"], "routes");
}

/// `kubectl exec POD -- /game-gateway admin` finds the token and the port in the container's environment.
#[test]
fn the_admin_command_finds_its_gateway_in_a_pod() {
    for (set, url) in [
        (vec![], None),
        (
            vec!["containerPorts.admin=9191"],
            Some("http://127.0.0.1:9191"),
        ),
        (
            vec!["adminTls.enabled=true", "adminTls.existingSecret=tls"],
            Some("https://127.0.0.1:9090"),
        ),
    ] {
        let objects = objects(&set);
        let all = pods(&objects);
        let env = all[0].1["spec"]["containers"][0]["env"]
            .as_array()
            .expect("variables")
            .clone();
        let of = |name: &str| env.iter().find(|one| one["name"] == name);
        let token = of("GATEWAY__ADMIN__TOKEN").expect("the token");
        assert!(token["valueFrom"]["secretKeyRef"].is_object());
        assert_eq!(
            of("GATEWAY_ADMIN_URL").and_then(|one| one["value"].as_str()),
            url
        );
    }
}
