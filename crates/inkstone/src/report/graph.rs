//! The stages of a run as boxes with arrows, as SVG.

use std::collections::BTreeMap;
use std::fmt::Write;

use inkstone_recipe::StageReport;

const BOX: (f64, f64) = (122.0, 40.0);
const GAP: (f64, f64) = (24.0, 16.0);

/// Stages from left to right, each to the right of everything it reads.
pub(super) fn draw(stages: &[StageReport]) -> String {
    let places = places(stages);
    let columns = places.iter().map(|place| place.0).max().unwrap_or(0) + 1;
    let rows = places.iter().map(|place| place.1).max().unwrap_or(0) + 1;
    let (width, height) = (columns as f64 * (BOX.0 + GAP.0), rows as f64 * (BOX.1 + GAP.1));
    let mut svg = format!(
        "<svg viewBox=\"0 0 {width} {height}\" style=\"min-width:{:.0}px\" role=\"img\" aria-label=\"stages\">",
        width * 0.7
    );
    for (n, stage) in stages.iter().enumerate() {
        for input in stage.artifact.manifest.inputs.values() {
            if let Some(from) = stages.iter().position(|other| other.artifact.manifest.id() == *input) {
                arrow(&mut svg, places[from], places[n]);
            }
        }
    }
    for (stage, &place) in stages.iter().zip(&places) {
        node(&mut svg, place, &stage.name, &stage.artifact.manifest.kind);
    }
    svg + "</svg>"
}

/// Column and row of each stage.
fn places(stages: &[StageReport]) -> Vec<(usize, usize)> {
    let mut columns: Vec<usize> = Vec::new();
    let mut used: BTreeMap<usize, usize> = BTreeMap::new();
    let mut places = Vec::new();
    for stage in stages {
        let inputs = stage.artifact.manifest.inputs.values();
        let before = inputs.filter_map(|input| stages.iter().position(|other| other.artifact.manifest.id() == *input));
        let column = before.filter_map(|n| columns.get(n)).max().map_or(0, |column| column + 1);
        columns.push(column);
        let row = used.entry(column).or_default();
        places.push((column, *row));
        *row += 1;
    }
    places
}

fn corner((column, row): (usize, usize)) -> (f64, f64) {
    (column as f64 * (BOX.0 + GAP.0) + 2.0, row as f64 * (BOX.1 + GAP.1) + 2.0)
}

fn arrow(svg: &mut String, from: (usize, usize), to: (usize, usize)) {
    let ((x1, y1), (x2, y2)) = (corner(from), corner(to));
    let (x1, y1, y2) = (x1 + BOX.0, y1 + BOX.1 / 2.0, y2 + BOX.1 / 2.0);
    let middle = f64::midpoint(x1, x2);
    let _ = write!(
        svg,
        "<path class=\"arrow\" d=\"M{x1:.1},{y1:.1} C{middle:.1},{y1:.1} {middle:.1},{y2:.1} {x2:.1},{y2:.1}\"/>"
    );
}

fn node(svg: &mut String, place: (usize, usize), name: &str, kind: &str) {
    let (x, y) = corner(place);
    let _ = write!(
        svg,
        "<rect class=\"node\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{}\" height=\"{}\" rx=\"6\"/>",
        BOX.0,
        BOX.1 - 4.0
    );
    let _ = write!(svg, "<text class=\"stage\" x=\"{:.1}\" y=\"{:.1}\">{}</text>", x + 10.0, y + 16.0, escaped(name));
    let _ = write!(svg, "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>", x + 10.0, y + 30.0, escaped(kind));
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
