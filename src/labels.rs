//! Label values of metrics: enums of which each variant is counted by itself.

/// A fixed set of label values.
pub trait Label: Copy + 'static {
    /// All values, in the order in which they are exported.
    const ALL: &'static [Self];

    /// Returns the position in [`Label::ALL`].
    fn index(self) -> usize;

    /// Returns the text of the label.
    fn label(self) -> &'static str;
}

/// Implements [`Label`] for an enum without data. A variant that is not named does not compile.
macro_rules! labels {
    ($name:ident { $($variant:ident => $label:literal,)* }) => {
        impl $crate::labels::Label for $name {
            const ALL: &'static [$name] = &[$($name::$variant),*];

            fn index(self) -> usize {
                // The enum may have discriminants of its own.
                enum Position { $($variant),* }
                match self { $($name::$variant => Position::$variant as usize),* }
            }

            fn label(self) -> &'static str {
                match self { $($name::$variant => $label),* }
            }
        }
    };
}

pub(crate) use labels;
