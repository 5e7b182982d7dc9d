//! Line charts as SVG.

use std::fmt::Write;

/// Points of one line with its name.
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// A chart of one or two lines over a common x axis.
pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    pub(super) series: &'a [Series],
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 30.0;
/// Points that a line is drawn with; more are averaged.
const POINTS: usize = 240;

/// What maps values to places.
struct Frame {
    x: (f64, f64),
    y: (f64, f64),
}

impl Chart<'_> {
    /// The chart as an `<svg>` element; colours come from the page's style.
    pub(super) fn draw(&self) -> String {
        let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">", self.title);
        let _ = write!(svg, "<text class=\"title\" x=\"{LEFT}\" y=\"14\">{}</text>", self.title);
        if let Some(frame) = Frame::around(self.series) {
            frame.draw_axes(&mut svg);
            for (n, series) in self.series.iter().enumerate() {
                frame.draw_line(&mut svg, series, n);
            }
        }
        svg + "</svg>"
    }
}

impl Frame {
    fn around(series: &[Series]) -> Option<Self> {
        let all = || series.iter().flat_map(|series| &series.points).filter(|(_, y)| y.is_finite());
        let range = |pick: fn(&(f64, f64)) -> f64| {
            all().map(pick).fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
        };
        all().next()?;
        let (x, y) = (range(|p| p.0), range(|p| p.1));
        let room = ((y.1 - y.0) * 0.05).max(y.1.abs() * 1e-3).max(1e-12);
        Some(Self {
            x: (x.0, x.1.max(x.0 + 1.0)),
            y: ((y.0 - room).max(if y.0 >= 0.0 { 0.0 } else { f64::NEG_INFINITY }), y.1 + room),
        })
    }

    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let across = (x - self.x.0) / (self.x.1 - self.x.0);
        let up = (y - self.y.0) / (self.y.1 - self.y.0);
        (LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM))
    }

    fn draw_axes(&self, svg: &mut String) {
        for tick in ticks(self.y, 5) {
            let (_, y) = self.place((self.x.0, tick));
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>",
                WIDTH - RIGHT
            );
            let _ = write!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                y + 4.0,
                label(tick)
            );
        }
        for tick in ticks(self.x, 6) {
            let (x, _) = self.place((tick, self.y.0));
            let _ = write!(
                svg,
                "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                HEIGHT - 10.0,
                label(tick)
            );
        }
    }

    fn draw_line(&self, svg: &mut String, series: &Series, n: usize) {
        let points = thinned(&series.points);
        let path: Vec<String> =
            points.iter().map(|&point| self.place(point)).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = write!(svg, "<polyline class=\"line line{n}\" points=\"{}\"/>", path.join(" "));
        if points.len() <= 60 {
            for &point in &points {
                let (x, y) = self.place(point);
                let _ = write!(
                    svg,
                    "<circle class=\"dot dot{n}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\"><title>{} {}: {:.4}</title></circle>",
                    series.name, point.0, point.1
                );
            }
        }
        let x = WIDTH - RIGHT - 100.0 * n as f64;
        let _ =
            write!(svg, "<text class=\"name{n}\" x=\"{x:.1}\" y=\"14\" text-anchor=\"end\">— {}</text>", series.name);
    }
}

/// Means over equal stretches where there are too many points.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let finite: Vec<(f64, f64)> = points.iter().copied().filter(|point| point.1.is_finite()).collect();
    let size = finite.len().div_ceil(POINTS).max(1);
    let mean = |chunk: &[(f64, f64)]| {
        let n = chunk.len() as f64;
        (chunk.iter().map(|p| p.0).sum::<f64>() / n, chunk.iter().map(|p| p.1).sum::<f64>() / n)
    };
    finite.chunks(size).map(mean).collect()
}

/// Round numbers inside a range.
fn ticks((low, high): (f64, f64), about: u32) -> Vec<f64> {
    let rough = (high - low) / f64::from(about);
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|&step| step >= rough).unwrap_or(power);
    let first = (low / step).ceil() as i64;
    (first..).map(|n| n as f64 * step).take_while(|&tick| tick <= high).take(20).collect()
}

fn label(value: f64) -> String {
    if value != 0.0 && value.abs() < 0.01 {
        format!("{value:.0e}")
    } else if value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{}", (value * 1000.0).round() / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Chart, Series, thinned, ticks};

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(ticks((0.3, 7.7), 5), [2.0, 4.0, 6.0]);
        assert_eq!(ticks((0.0, 1000.0), 5), [0.0, 200.0, 400.0, 600.0, 800.0, 1000.0]);
    }

    #[test]
    fn many_points_are_averaged_and_broken_ones_left_out() {
        let points: Vec<(f64, f64)> =
            (0..10_000).map(|i| (f64::from(i), if i % 2 == 0 { 1.0 } else { 3.0 })).chain([(1.0, f64::NAN)]).collect();
        let thin = thinned(&points);
        assert!(thin.len() <= 241 && thin.iter().all(|p| (p.1 - 2.0).abs() < 0.1));
        assert!(
            Chart { title: "t", series: &[Series { name: "a".into(), points: vec![(0.0, f64::NAN)] }] }
                .draw()
                .ends_with("</svg>")
        );
    }
}
