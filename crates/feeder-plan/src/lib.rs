//! feeder-plan
