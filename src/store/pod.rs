//! The deletion cost of this gateway's own pod (the annotation
//! `controller.kubernetes.io/pod-deletion-cost`): its number of sessions, so that a scale-down takes
//! the pod with the fewest first.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// Interval between two looks at the number of sessions. Kubernetes asks for few updates.
const INTERVAL: Duration = Duration::from_secs(10);
/// Timeout of one request, the connection included.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Relative change of the cost below which it is not updated; see [`LEAST_CHANGE`] too.
const SHARE: f64 = 0.05;
/// Absolute change of the cost below which it is not updated.
const LEAST_CHANGE: u64 = 10;
/// The largest file of the service account, in bytes.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Counts of the updates.
#[derive(Debug, Default)]
pub struct PodCounts {
    failures: AtomicU64,
}

impl PodCounts {
    /// Updates that failed.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

/// This gateway's pod, as its environment names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    url: String,
    /// Folder of `token` and `ca.crt`, as Kubernetes mounts it.
    service_account: PathBuf,
}

impl Pod {
    /// Reads the variables that Kubernetes and the pod's own description set.
    ///
    /// # Errors
    /// One is missing; the text names it.
    pub fn from_environment(
        service_account: &Path,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Pod, String> {
        let get = |name: &str| {
            let value = variable(name).filter(|value| !value.is_empty());
            value.ok_or_else(|| {
                format!(
                    "kubernetes.pod_deletion_cost: environment variable {name} not set, expected in a pod"
                )
            })
        };
        let host = get("KUBERNETES_SERVICE_HOST")?;
        let port = get("KUBERNETES_SERVICE_PORT")?;
        let (namespace, name) = (get("POD_NAMESPACE")?, get("POD_NAME")?);
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host
        };
        Ok(Pod {
            url: format!("https://{host}:{port}/api/v1/namespaces/{namespace}/pods/{name}"),
            service_account: service_account.to_owned(),
        })
    }

    /// Updates the cost in Kubernetes. Blocks.
    fn tell(&self, cost: u64) -> Result<(), String> {
        // Both are read each time: tokens and authorities rotate.
        let token = read(&self.service_account.join("token"))?;
        let ca = self.service_account.join("ca.crt");
        let bad = |error: &dyn std::fmt::Display| format!("{}: {error}", ca.display());
        let authorities = CertificateDer::pem_slice_iter(read(&ca)?.as_bytes())
            .map(|der| der.map(|der| Certificate::from_der(&der).to_owned()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| bad(&error))?;
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::from(authorities))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let agent: Agent = Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .tls_config(tls)
            .https_only(true)
            .build()
            .into();
        let annotation = serde_json::json!({
            "metadata": {"annotations": {
                "controller.kubernetes.io/pod-deletion-cost": cost.to_string()
            }}
        });
        let request = agent
            .patch(&self.url)
            .header("Authorization", format!("Bearer {}", token.trim()))
            .header("Content-Type", "application/merge-patch+json");
        request
            .send(annotation.to_string())
            .map(drop)
            .map_err(|error| format!("{}: {error}", self.url))
    }
}

fn read(path: &Path) -> Result<String, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let size = std::fs::metadata(path).map_err(|e| wrong(&e))?.len();
    if size > MAX_FILE_BYTES {
        return Err(wrong(&format!(
            "too large: {size} bytes, limit {MAX_FILE_BYTES}"
        )));
    }
    std::fs::read_to_string(path).map_err(|e| wrong(&e))
}

/// Returns true if a change is large enough for an update.
fn differs(told: Option<u64>, cost: u64) -> bool {
    let Some(told) = told else { return true };
    let change = told.abs_diff(cost);
    // The last session that goes matters: an empty pod is the best one to take.
    (cost == 0 && told > 0) || (change > LEAST_CHANGE && change as f64 > told as f64 * SHARE)
}

/// Updates the cost in Kubernetes from time to time; never returns. A failure is logged once for as long
/// as it lasts, and the next look tries again.
pub async fn keep_cost(pod: Pod, sessions: impl Fn() -> u64, counts: Arc<PodCounts>) {
    let (mut told, mut failing) = (None, None);
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        ticks.tick().await;
        let cost = sessions();
        if !differs(told, cost) && failing.is_none() {
            continue;
        }
        let own = pod.clone();
        let result = tokio::task::spawn_blocking(move || own.tell(cost)).await;
        match result.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(()) => {
                if failing.take().is_some() {
                    tracing::info!("Kubernetes is told again what this pod would cost");
                }
                told = Some(cost);
            }
            Err(error) => {
                counts.failures.fetch_add(1, Ordering::Relaxed);
                if failing.as_ref() != Some(&error) {
                    tracing::warn!(error, "Kubernetes cannot be told what this pod would cost");
                }
                failing = Some(error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_names_the_pod() {
        let variables = |name: &str| {
            let value = match name {
                "KUBERNETES_SERVICE_HOST" => "fd00::1",
                "KUBERNETES_SERVICE_PORT" => "443",
                "POD_NAMESPACE" => "games",
                "POD_NAME" => "gg-0",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let pod = Pod::from_environment(Path::new("/sa"), variables).unwrap();
        assert_eq!(
            pod.url,
            "https://[fd00::1]:443/api/v1/namespaces/games/pods/gg-0"
        );
        let missing = |name: &str| variables(name).filter(|_| name != "POD_NAMESPACE");
        let error = Pod::from_environment(Path::new("/sa"), missing).unwrap_err();
        assert!(error.contains("POD_NAMESPACE not set"), "{error}");
    }

    #[test]
    fn small_changes_are_not_worth_telling() {
        assert!(differs(None, 0));
        assert!(!differs(Some(0), 10) && differs(Some(0), 11));
        assert!(!differs(Some(1000), 1050) && differs(Some(1000), 1051));
        assert!(differs(Some(3), 0) && !differs(Some(0), 0));
    }
}
