//! feeder-store
