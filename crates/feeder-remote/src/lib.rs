//! feeder-remote
