//! Follows a stream of units, each a header that tells its length and a body, to know how much of one has
//! come: a library that gathers them (TLS records) does not tell what it holds.

/// Longest header, in bytes: a TLS record's.
const MAX_HEADER: usize = 5;

/// Place in a stream of units.
#[derive(Debug, Default)]
pub(super) struct Partial {
    header: [u8; MAX_HEADER],
    /// Bytes of the header that have come.
    known: u8,
    /// Bytes of the body that have come, and those that are missing.
    come: u64,
    missing: u64,
}

impl Partial {
    /// Follows `bytes`. `length` returns the length of a body whose header has come, or none while more of the
    /// header is to come; `whole` takes the header and the length of a body for each unit that ends.
    pub(super) fn follow(
        &mut self,
        mut bytes: &[u8],
        length: impl Fn(&[u8]) -> Option<u64>,
        mut whole: impl FnMut(&[u8], u64),
    ) {
        while let Some((first, rest)) = bytes.split_first() {
            if self.missing > 0 {
                let body = bytes
                    .len()
                    .min(usize::try_from(self.missing).unwrap_or(usize::MAX));
                self.come += body as u64;
                self.missing -= body as u64;
                bytes = &bytes[body..];
            } else {
                let Some(place) = self.header.get_mut(usize::from(self.known)) else {
                    return; // No such header: the library will say so.
                };
                *place = *first;
                self.known += 1;
                bytes = rest;
                match length(&self.header[..usize::from(self.known)]) {
                    Some(body) => self.missing = body,
                    None => continue,
                }
            }
            if self.missing == 0 {
                whole(&self.header[..usize::from(self.known)], self.come);
                (self.known, self.come) = (0, 0);
            }
        }
    }

    /// Bytes that have come of a unit which is not whole.
    pub(super) fn bytes(&self) -> usize {
        let bytes = u64::from(self.known) + self.come;
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Units whose header is their length in two bytes.
    fn length(header: &[u8]) -> Option<u64> {
        let header = header.first_chunk()?;
        Some(u64::from(u16::from_be_bytes(*header)))
    }

    proptest! {
        #[test]
        fn units_are_found_wherever_they_are_cut(
            bodies in proptest::collection::vec(0_u16..300, 0..20),
            cuts in proptest::collection::vec(1_usize..50, 1..50),
            missing in 0_usize..300,
        ) {
            let mut stream = Vec::new();
            let mut starts = Vec::new();
            for body in &bodies {
                starts.push(stream.len());
                stream.extend(body.to_be_bytes());
                stream.resize(stream.len() + usize::from(*body), 9);
            }
            stream.truncate(stream.len().saturating_sub(missing));
            let (mut partial, mut found, mut rest) = (Partial::default(), Vec::new(), &stream[..]);
            for cut in cuts.iter().cycle() {
                let (piece, next) = rest.split_at(rest.len().min(*cut));
                partial.follow(piece, length, |_, body| found.push(body as u16));
                rest = next;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(&found[..], &bodies[..found.len()]);
            let end = starts.get(found.len()).copied().unwrap_or(stream.len()).min(stream.len());
            prop_assert_eq!(partial.bytes(), stream.len() - end);
        }
    }
}
