//! A picture of the space: the most frequent words on a plane, as SVG in a page that needs nothing else.

use std::fmt::Write;

use super::projection::{Projection, project};
use super::vectors::Space;

/// What is drawn.
#[derive(Debug, Clone, Copy)]
pub struct MapSettings {
    /// Words, from the most frequent on.
    pub words: usize,
    /// How they are laid out.
    pub projection: Projection,
}

const WIDTH: f64 = 1200.0;
const HEIGHT: f64 = 900.0;
const MARGIN: f64 = 40.0;

/// The page.
pub fn draw_map(space: &Space, settings: MapSettings) -> String {
    let n = settings.words.min(space.words().len());
    let vectors: Vec<f32> = (0..n as u32).flat_map(|id| space.unit(id)).copied().collect();
    let plane = project(&vectors, space.unit(0).len(), settings.projection);
    let places = fit(&plane);
    let mut svg = String::new();
    for (word, [x, y]) in space.words().iter().zip(places) {
        let word = escaped(word);
        let _ = write!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2\"><title>{word}</title></circle>");
        let _ = writeln!(svg, "<text x=\"{:.1}\" y=\"{:.1}\">{word}</text>", x + 4.0, y + 3.0);
    }
    let title = match settings.projection {
        Projection::Pca => "the two directions of largest variance",
        Projection::Tsne => "neighbours by t-SNE",
    };
    page(&format!("{n} most frequent words: {title}"), &svg)
}

/// Places on the paper, both axes filled.
fn fit(plane: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let range = |c: usize| {
        plane.iter().map(|p| p[c]).fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)))
    };
    let ranges = [range(0), range(1)];
    let place = |p: &[f64; 2], c: usize, length: f64| {
        let (low, high) = ranges[c];
        MARGIN + (p[c] - low) / (high - low).max(1e-12) * (length - 2.0 * MARGIN)
    };
    plane.iter().map(|p| [place(p, 0, WIDTH), place(p, 1, HEIGHT)]).collect()
}

fn page(title: &str, svg: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\n\
         <style>body{{margin:1rem;font-family:system-ui,sans-serif;color:#222;background:#fff}}\
         svg{{width:100%;height:auto}}text{{font-size:10px;fill:#222}}circle{{fill:#b5482f}}\
         @media(prefers-color-scheme:dark){{body{{background:#181818;color:#ddd}}text{{fill:#ddd}}}}</style>\n\
         <h1 style=\"font-size:1rem\">{title}</h1>\n\
         <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">\n{svg}</svg></html>\n"
    )
}

fn escaped(word: &str) -> String {
    word.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
