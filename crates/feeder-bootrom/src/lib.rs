//! feeder-bootrom
