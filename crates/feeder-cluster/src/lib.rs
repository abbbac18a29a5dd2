//! feeder-cluster
