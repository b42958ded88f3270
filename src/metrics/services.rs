//! What links count by service. Names come from the rules, of which there may be thousands, so only so many
//! services have figures of their own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Count, Histogram, HistogramSnapshot};

/// Services with figures of their own. Those beyond share [`OTHER_SERVICES`].
pub const MAX_SERVICES: usize = 100;
/// The label of all services beyond [`MAX_SERVICES`]; no service can have this name (protocol 1.1).
pub const OTHER_SERVICES: &str = "_other";

/// Counters of one worker's links to one service. Directions are the gateway's: `in` is what it read. Aligned, for
/// another worker's are often neighbours.
#[derive(Debug, Default)]
#[repr(align(128))]
#[expect(missing_docs, reason = "each is described once, in admin")]
pub struct ServiceCounts {
    pub frames_in: Count,
    pub frames_out: Count,
    pub bytes_in: Count,
    pub bytes_out: Count,
    pub connect_failures: Count,
    pub first_answer: Histogram,
    pub answer: Histogram,
}

/// Sums of them over the workers.
#[derive(Debug, Clone, Copy, Default)]
#[expect(missing_docs, reason = "as above")]
pub struct ServiceSums {
    pub frames_in: u64,
    pub frames_out: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub connect_failures: u64,
    pub first_answer: HistogramSnapshot,
    pub answer: HistogramSnapshot,
}

impl ServiceSums {
    fn add(&mut self, counts: &ServiceCounts) {
        self.frames_in += counts.frames_in.get();
        self.frames_out += counts.frames_out.get();
        self.bytes_in += counts.bytes_in.get();
        self.bytes_out += counts.bytes_out.get();
        self.connect_failures += counts.connect_failures.get();
        self.first_answer.add(&counts.first_answer);
        self.answer.add(&counts.answer);
    }
}

/// One set of counters for each worker.
type ByWorker = Vec<Arc<ServiceCounts>>;

/// The services of the process. Control path: asked once a link, and at a scrape.
#[derive(Debug)]
pub struct ServiceBook {
    workers: usize,
    services: Mutex<Services>,
}

#[derive(Debug)]
struct Services {
    named: Vec<(Arc<str>, ByWorker)>,
    others: ByWorker,
    /// What services have counted that made room for others.
    forgotten: ServiceSums,
}

fn by_worker(workers: usize) -> ByWorker {
    (0..workers).map(|_| Arc::default()).collect()
}

impl Services {
    /// Makes room by a service that no link counts for any more.
    fn forget_one(&mut self) {
        let is_unused = |counts: &ByWorker| counts.iter().all(|own| Arc::strong_count(own) == 1);
        if let Some(at) = self.named.iter().position(|(_, counts)| is_unused(counts)) {
            let (_, counts) = self.named.remove(at);
            counts.iter().for_each(|own| self.forgotten.add(own));
        }
    }
}

impl ServiceBook {
    /// A book for so many workers.
    pub fn new(workers: usize) -> ServiceBook {
        ServiceBook {
            workers,
            services: Mutex::new(Services {
                named: Vec::new(),
                others: by_worker(workers),
                forgotten: ServiceSums::default(),
            }),
        }
    }

    fn services(&self) -> MutexGuard<'_, Services> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a worker's counters for a service. Only that worker's thread may write to them.
    pub fn of(&self, service: &Arc<str>, worker: usize) -> Arc<ServiceCounts> {
        let mut services = self.services();
        if let Some((_, counts)) = services.named.iter().find(|(name, _)| name == service) {
            return Arc::clone(&counts[worker]);
        }
        if services.named.len() == MAX_SERVICES {
            services.forget_one();
        }
        if services.named.len() == MAX_SERVICES {
            return Arc::clone(&services.others[worker]);
        }
        let counts = by_worker(self.workers);
        let own = Arc::clone(&counts[worker]);
        services.named.push((Arc::clone(service), counts));
        own
    }

    /// Returns the sums of every service, those of [`OTHER_SERVICES`] last.
    pub fn sums(&self) -> Vec<(Arc<str>, ServiceSums)> {
        let services = self.services();
        let named = services.named.iter().map(|(name, counts)| {
            let mut sums = ServiceSums::default();
            counts.iter().for_each(|own| sums.add(own));
            (Arc::clone(name), sums)
        });
        let mut others = services.forgotten;
        services.others.iter().for_each(|own| others.add(own));
        named.chain([(OTHER_SERVICES.into(), others)]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(book: &ServiceBook) -> Vec<(String, u64)> {
        let sums = book.sums().into_iter();
        let sums = sums.map(|(name, sums)| (name.to_string(), sums.frames_in));
        sums.filter(|(_, frames)| *frames > 0).collect()
    }

    #[test]
    fn workers_count_by_themselves_and_are_added_up() {
        let (book, game) = (ServiceBook::new(2), Arc::from("game"));
        for worker in [0, 1, 1] {
            book.of(&game, worker).frames_in.one();
        }
        assert_eq!(frames(&book), [("game".to_owned(), 3)]);
    }

    #[test]
    fn nothing_that_was_counted_is_lost_where_there_are_too_many() {
        let book = ServiceBook::new(1);
        let service = |n: usize| Arc::<str>::from(format!("s{n}"));
        let held: Vec<_> = (0..MAX_SERVICES).map(|n| book.of(&service(n), 0)).collect();
        held.iter().for_each(|counts| counts.frames_in.one());
        book.of(&"late".into(), 0).frames_in.add(7);
        assert!(frames(&book).contains(&(OTHER_SERVICES.to_owned(), 7)));
        assert_eq!(frames(&book).len(), MAX_SERVICES + 1);
        // The first one has no links any more: it gives its place, and what it has counted stays.
        drop(held.into_iter().next());
        book.of(&"later".into(), 0).frames_in.add(9);
        let frames = frames(&book);
        assert!(frames.contains(&("later".to_owned(), 9)));
        assert!(!frames.iter().any(|(name, _)| name == "s0"));
        assert!(frames.contains(&(OTHER_SERVICES.to_owned(), 8)));
    }
}
