//! Matrix products: one driver, small inner tiles for each instruction set.
//!
//! Operands are packed into panels of 32-bit elements, [`STEPS`] deep: an element is one f32, or two
//! bfloat16 that follow each other in depth. So the driver is the same for both, and only packing and the
//! innermost tile know which it is (the scheme of Goto and van de Geijn, "Anatomy of High-Performance
//! Matrix Multiplication", 2008).

mod driver;
mod operand;
mod pack;
mod tile;
mod view;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use driver::{Corner, Plan, multiply, product};
pub(crate) use operand::Panels;
pub(crate) use tile::Roof;
pub(crate) use view::{Extent, View, ViewMut};

/// Elements of depth in one packed panel: deep enough that sums are seldom written and read again, while the panels
/// of a block of rows stay in the second-level cache.
const STEPS: usize = 512;
