//! feeder-lan
