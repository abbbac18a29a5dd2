//! What frames on a cluster's segment say, as far as it is told to people: bytes in, facts out.
//!
//! No I/O, no dependencies on a network stack. Parsers survive any bytes; what is damaged or cut off says nothing.

pub mod dhcp;
pub mod frame;

#[cfg(test)]
mod tests;
