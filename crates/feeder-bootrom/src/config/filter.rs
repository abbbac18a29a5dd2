//! Conditional filters: `[pi3+]`, `[0xb66c4c16]`, `[all]` and the like (conditional-filters.adoc).
//!
//! A filter replaces the one of its own type and is combined with those of other types by AND;
//! `[all]` removes them all.

use std::collections::BTreeMap;

use super::number;
use crate::board::BoardProfile;

/// Models that `config.txt` may name.
const MODELS: &[&str] = &[
    "pi0", "pi0w", "pi02", "pi1", "pi2", "pi3", "pi3+", "pi4", "pi400", "pi5", "pi500", "cm0",
    "cm1", "cm3", "cm3+", "cm4", "cm4s", "cm5",
];

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    None,
    Model,
    Serial,
    BoardType,
    TryBoot,
    Gpio,
    Edid,
    /// Filters this twin cannot decide.
    Other,
}

pub(super) struct Filters<'a> {
    board: &'a BoardProfile,
    active: BTreeMap<Kind, bool>,
}

impl<'a> Filters<'a> {
    pub(super) fn new(board: &'a BoardProfile) -> Self {
        Self { board, active: BTreeMap::new() }
    }

    /// Whether settings are in effect here.
    pub(super) fn pass(&self) -> bool {
        self.active.values().all(|&holds| holds)
    }

    /// Enters the section of a filter, given without brackets.
    ///
    /// # Errors
    ///
    /// Says why the filter is taken for false although it might not be.
    pub(super) fn enter(&mut self, filter: &str) -> Result<(), String> {
        let (kind, holds) = match self.judge(filter) {
            Some(Judgement::Reset) => {
                self.active.clear();
                return Ok(());
            }
            // It selects a display for what follows and is no condition.
            Some(Judgement::Indifferent) => return Ok(()),
            Some(Judgement::Is(kind, holds)) => (kind, holds),
            None => {
                self.active.insert(Kind::Other, false);
                return Err(format!("`[{filter}]` is not known here and taken for false"));
            }
        };
        self.active.insert(kind, holds);
        Ok(())
    }

    fn judge(&self, filter: &str) -> Option<Judgement> {
        use Judgement::{Indifferent, Is, Reset};
        let board = self.board;
        let lower = filter.to_ascii_lowercase();
        Some(match lower.as_str() {
            "all" => Reset,
            "none" => Is(Kind::None, false),
            "tryboot" => Is(Kind::TryBoot, board.tryboot),
            model if MODELS.contains(&model) => Is(Kind::Model, board.filters.contains(&model)),
            serial if serial.starts_with("0x") => {
                // Compared as numbers, so leading zeros do not matter; boards from the 5 on have 64 bits.
                let wanted = u64::from_str_radix(&serial[2..], 16).ok()?;
                Is(Kind::Serial, wanted == u64::from(board.serial))
            }
            hdmi if hdmi.starts_with("hdmi:") => Indifferent,
            edid if edid.starts_with("edid=") => Is(Kind::Edid, false),
            other => {
                let (name, value) = other.split_once('=')?;
                if name == "board-type" {
                    Is(Kind::BoardType, number(value)? == i64::from(board.board_type))
                } else {
                    let pin: u8 = name.strip_prefix("gpio")?.parse().ok()?;
                    // BCM2835 ARM Peripherals: pins 0–8 are pulled up at reset, the others are low here.
                    let level = board.gpio.get(&pin).copied().unwrap_or(pin <= 8);
                    Is(Kind::Gpio, (number(value)? != 0) == level)
                }
            }
        })
    }
}

enum Judgement {
    Reset,
    Indifferent,
    Is(Kind, bool),
}
