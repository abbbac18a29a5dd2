//! feeder-scenario
