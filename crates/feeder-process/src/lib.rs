//! feeder-process
