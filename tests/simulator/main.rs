//! A deterministic simulator of a whole deployment around the code that ships: players, gateways,
//! backends, a registry, and all that can go wrong between them. One seed decides everything.

mod wire;
