//! feeder-ui
