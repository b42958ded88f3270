//! The pages that the kernel gives.

/// Has the kernel give this process small pages alone. Huge ones are 2 MiB, which the first byte in one takes, and the
/// last one keeps: on a system that gives them unasked the budget would say little about the process.
pub fn use_small_pages() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "huge pages are not disabled");
    }
}
