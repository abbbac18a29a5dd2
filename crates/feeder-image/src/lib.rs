//! feeder-image
