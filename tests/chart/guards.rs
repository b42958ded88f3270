//! Values that are refused, each with one sentence that says what is wrong.

use crate::tools::{HELM, HELMS, run, template};

/// Asserts that every Helm refuses these `--set` arguments with this message.
pub(crate) fn refused(set: &[&str], says: &str) {
    let arguments: Vec<&str> = set.iter().flat_map(|one| ["--set", *one]).collect();
    for helm in HELMS {
        let (taken, said) = run(&mut template(helm, &arguments));
        assert!(!taken, "{helm} takes {set:?}");
        assert!(
            said.contains(says),
            "{helm}, {set:?}: no {says:?} in {said}"
        );
    }
}

/// Asserts that these are accepted.
pub(crate) fn taken(set: &[&str]) {
    let arguments: Vec<&str> = set.iter().flat_map(|one| ["--set", *one]).collect();
    let (taken, said) = run(&mut template(HELM, &arguments));
    assert!(taken, "{set:?}: {said}");
}

/// Asserts that the schema refuses this and names the place; the wording depends on the Helm version.
fn nonsense(set: &str, names: &str) {
    for helm in HELMS {
        let (taken, said) = run(&mut template(helm, &["--set", set]));
        assert!(!taken, "{helm} takes {set}");
        assert!(said.contains("schema"), "{helm}, {set}: {said}");
        let place = said.replace('/', ".");
        assert!(place.contains(names), "{helm}, {set}: no {names} in {said}");
    }
}

#[test]
fn a_grace_period_that_would_cut_players_off() {
    let says = "terminationGracePeriodSeconds is 39, but a gateway needs 40";
    refused(&["terminationGracePeriodSeconds=39"], says);
    taken(&["terminationGracePeriodSeconds=40"]);
    let long = ["terminationGracePeriodSeconds=60", "config.drain.window=2m"];
    refused(&long, "needs 130");
    let slept = [
        "terminationGracePeriodSeconds=60",
        "drain.preStopSleepSeconds=30",
    ];
    refused(&slept, "needs 70");
}

#[test]
fn a_drain_window_that_is_no_duration() {
    for window in ["soon", "1m30s", "30", "-5s", "1.5s"] {
        let set = format!("config.drain.window={window}");
        for helm in HELMS {
            let (taken, _) = run(&mut template(helm, &["--set", &set]));
            assert!(!taken, "{helm} takes {window}");
        }
    }
    refused(&["config.drain.window=soon"], "invalid duration \"soon\"");
}

#[test]
fn a_budget_that_lets_no_pod_go() {
    let says = "so none could ever be evicted";
    refused(&["podDisruptionBudget.minAvailable=2"], says);
    refused(&["podDisruptionBudget.minAvailable=100%"], says);
    refused(&["podDisruptionBudget.minAvailable=51%"], says);
    let one = ["replicaCount=1", "podDisruptionBudget.minAvailable=1"];
    refused(&one, says);
    let scaled = [
        "autoscaling.enabled=true",
        "autoscaling.minReplicas=3",
        "podDisruptionBudget.minAvailable=3",
    ];
    refused(&scaled, "3 of 3 gateways");
    let none = "no gateway could ever be evicted";
    refused(&["podDisruptionBudget.maxUnavailable=0"], none);
    refused(&["podDisruptionBudget.maxUnavailable=0%"], none);
    taken(&["podDisruptionBudget.minAvailable=1"]);
    taken(&["podDisruptionBudget.minAvailable=50%"]);
}

#[test]
fn a_budget_with_two_measures() {
    let both = [
        "podDisruptionBudget.minAvailable=1",
        "podDisruptionBudget.maxUnavailable=1",
    ];
    refused(&both, "not both");
}

#[test]
fn an_autoscaler_and_a_number_of_replicas() {
    let both = ["autoscaling.enabled=true", "replicaCount=3"];
    refused(
        &both,
        "replicaCount and autoscaling.enabled exclude each other",
    );
}

#[test]
fn an_autoscaler_that_cannot_work() {
    let on = "autoscaling.enabled=true";
    refused(
        &[on, "autoscaling.minReplicas=11"],
        "over autoscaling.maxReplicas, 10",
    );
    refused(&[on, "autoscaling.targetCPU="], "needs at least one of");
    refused(
        &[on, "resources.requests.cpu=null"],
        "resources.requests.cpu, which is not set",
    );
}

#[test]
fn an_upgrade_that_could_never_begin() {
    let stuck = [
        "updateStrategy.rollingUpdate.maxSurge=0",
        "updateStrategy.rollingUpdate.maxUnavailable=0",
    ];
    refused(&stuck, "no pod could ever be replaced");
}

#[test]
fn secrets_in_the_configuration() {
    refused(
        &["config.admin.token=secret"],
        "config.admin.token is not set here",
    );
    refused(
        &["config.redis.password=secret"],
        "externalRedis.existingSecret",
    );
    refused(
        &["config.session.token_keys={secret}"],
        "tokenKeys.existingSecret",
    );
    refused(
        &["config.backend.token=secret"],
        "backendAuth.existingSecret",
    );
    refused(&["config.redis.url=redis://a:b@c:1"], "set externalRedis");
    refused(
        &["config.otlp.headers={authorization=secret}"],
        "set GATEWAY__OTLP__HEADERS in extraEnvVars",
    );
}

#[test]
fn what_the_chart_decides_itself() {
    refused(&["config.gateway.id=one"], "it is the pod's name");
    refused(&["config.routes.source=redis"], "set routes.source");
    refused(&["config.listen.tls.required=true"], "set tls.required");
    refused(&["config.peer.advertise=here:1"], "set peer.advertiseHost");
    let variable = [
        "extraEnvVars[0].name=GATEWAY__DRAIN__WINDOW",
        "extraEnvVars[0].value=1h",
    ];
    refused(&variable, "GATEWAY__DRAIN__WINDOW would override");
}

#[test]
fn ports_that_contradict_each_other() {
    refused(&["containerPorts.game=9090"], "three different ports");
    let elsewhere = ["config.listen.address=0.0.0.0:7777"];
    refused(&elsewhere, "its port must be containerPorts.game, 7000");
    taken(&["config.listen.address=[::]:7000"]);
    let off = ["peer.enabled=false", "config.peer.address=0.0.0.0:7001"];
    refused(&off, "peer.enabled is false");
}

#[test]
fn redis_that_is_missing_or_useless() {
    refused(&["routes.source=redis"], "but there is none");
    let both = [
        "routes.source=redis",
        "redis.enabled=true",
        "externalRedis.host=mine",
    ];
    refused(&both, "exclude each other");
    refused(&["redis.enabled=true"], "set routes.source=redis");
    let sentinel = ["routes.source=redis", "externalRedis.sentinel.enabled=true"];
    refused(&sentinel, "externalRedis.sentinel.hosts");
    let tls = [
        "routes.source=redis",
        "externalRedis.host=mine",
        "externalRedis.tls.enabled=true",
    ];
    refused(&tls, "externalRedis.tls.existingSecret");
}

#[test]
fn routes_from_two_places() {
    let two = ["routes.existingConfigMap=mine", "echo.enabled=true"];
    refused(&two, "routes.existingConfigMap has all routes");
}

#[test]
fn certificates_that_are_missing() {
    refused(&["tls.enabled=true"], "tls.enabled needs a certificate");
    refused(
        &["tls.enabled=true", "tls.certificate=PEM"],
        "belong together",
    );
    refused(&["tls.required=true"], "tls.enabled is false");
    refused(&["backendTls.enabled=true"], "backendTls.existingSecret");
    refused(&["adminTls.enabled=true"], "set adminTls.existingSecret");
    refused(&["adminTls.clientCaSecret=ca"], "adminTls.enabled is false");
    refused(&["config.admin.tls.client_ca=a"], "set adminTls");
}

#[test]
fn token_keys_that_are_too_short() {
    refused(&["tokenKeys.keys={short}"], "number 1 has 5 bytes");
}

#[test]
fn rights_for_everyone_in_the_namespace() {
    let shared = [
        "scaleDown.podDeletionCost.enabled=true",
        "serviceAccount.create=false",
    ];
    refused(&shared, "default ServiceAccount");
}

#[test]
fn values_that_do_not_exist() {
    nonsense("replicas=3", "replicas");
    nonsense("config.lisen.address=0.0.0.0:7000", "lisen");
    nonsense("config.session.resume=1m", "resume");
    nonsense("service.port=7000", "port");
    nonsense("routes.rules.game.stratgey=round_robin", "stratgey");
}

#[test]
fn values_of_another_type_or_range() {
    nonsense("replicaCount=two", "replicaCount");
    nonsense("containerPorts.game=70000", "containerPorts.game");
    nonsense("service.type=Ingress", "service.type");
    nonsense("tls.enabled=sometimes", "tls.enabled");
    nonsense(
        "config.session.idle_timeout=5",
        "config.session.idle_timeout",
    );
    nonsense(
        "config.listen.max_payload=64KB",
        "config.listen.max_payload",
    );
    nonsense("config.gateway.workers=many", "config.gateway.workers");
    nonsense(
        "podDisruptionBudget.maxUnavailable=some",
        "podDisruptionBudget.maxUnavailable",
    );
    nonsense(
        "routes.rules.game.strategy=random",
        "routes.rules.game.strategy",
    );
    nonsense("image.digest=latest", "image.digest");
}

/// A value that templates cannot do without is missed by name, not by an error of theirs.
#[test]
fn values_that_are_taken_away() {
    nonsense("containerPorts=null", "containerPorts");
    nonsense("containerPorts.game=null", "game");
    nonsense("clusterDomain=null", "clusterDomain");
    nonsense("drain.marginSeconds=null", "marginSeconds");
}

#[test]
fn a_kubernetes_without_the_sleep_action() {
    for helm in HELMS {
        let (taken, said) = run(&mut template(helm, &["--kube-version", "1.29.9"]));
        assert!(!taken && said.contains(">=1.30"), "{helm}: {said}");
    }
}
