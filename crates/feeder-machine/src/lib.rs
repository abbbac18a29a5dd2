//! feeder-machine
