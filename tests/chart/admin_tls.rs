//! TLS on the admin port: everything that the chart has asked there speaks it.

use serde_json::{Value, json};

use crate::tools::{object, objects};

fn gateway(objects: &[Value]) -> &Value {
    &object(objects, "Deployment", "gg-game-gateway")["spec"]["template"]["spec"]
}

#[test]
fn the_admin_port_with_tls_is_asked_by_https() {
    let tls = ["adminTls.enabled=true", "adminTls.existingSecret=admin"];
    let monitor = "metrics.serviceMonitor.enabled=true";
    let probes = |objects: &[Value]| -> Vec<Value> {
        let container = &gateway(objects)["containers"][0];
        ["startupProbe", "livenessProbe", "readinessProbe"]
            .map(|probe| container[probe]["httpGet"]["scheme"].clone())
            .to_vec()
    };
    assert_eq!(
        probes(&objects(&[])),
        [json!(null), json!(null), json!(null)]
    );
    let given = objects(&[&tls[..], &[monitor]].concat());
    assert_eq!(probes(&given), ["HTTPS", "HTTPS", "HTTPS"]);
    let volumes = gateway(&given)["volumes"].as_array().expect("volumes");
    let secret = volumes.iter().find(|volume| volume["name"] == "admin-tls");
    assert_eq!(secret.expect("it")["secret"]["secretName"], "admin");
    let endpoint = |objects: &[Value]| {
        let monitor = object(objects, "ServiceMonitor", "gg-game-gateway");
        monitor["spec"]["endpoints"][0].clone()
    };
    assert_eq!(endpoint(&given)["scheme"], "https");
    assert_eq!(
        endpoint(&given)["tlsConfig"],
        json!({"insecureSkipVerify": true})
    );
    let named = "metrics.serviceMonitor.tlsConfig.serverName=gateway";
    let checked = objects(&[&tls[..], &[monitor, named]].concat());
    assert_eq!(
        endpoint(&checked)["tlsConfig"],
        json!({"serverName": "gateway"})
    );
    assert!(
        endpoint(&objects(&[monitor, named]))
            .get("scheme")
            .is_none()
    );
    let pods = objects(&[&tls[..], &["metrics.podMonitor.enabled=true"]].concat());
    let monitor = object(&pods, "PodMonitor", "gg-game-gateway");
    assert_eq!(monitor["spec"]["podMetricsEndpoints"][0]["scheme"], "https");
}
