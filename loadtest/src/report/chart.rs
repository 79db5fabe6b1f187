//! Line plots as inline SVG: scales, ticks, lines with their values as tooltips. Colours are classes, `s0` to
//! `s7`, that the page defines for light and dark.

use std::fmt::Write;

const WIDTH: f64 = 880.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 74.0;
const RIGHT: f64 = 34.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 46.0;
/// Points that get a tooltip of their own; with more, the file would grow and none could be hit.
const TIPS_MAX: usize = 700;

/// One line; its points are in the units of the axes.
#[derive(Debug)]
pub struct Series<'a> {
    pub name: &'a str,
    pub colour: usize,
    pub points: Vec<(f64, f64)>,
}

/// How values become places.
#[derive(Clone, Copy, Debug)]
pub enum Scale {
    /// From 0.
    Linear { max: f64 },
    /// Between two powers of ten.
    Log { min: f64, max: f64 },
    /// Percentiles by their number of nines: 0 is 0 %, 1 is 90 %, 2 is 99 %.
    Nines { max: f64 },
}

/// An axis: what it measures, how its ticks are written, and how a point's value is.
pub struct Axis {
    pub scale: Scale,
    pub name: &'static str,
    pub tick: fn(f64) -> String,
    pub value: fn(f64) -> String,
}

impl std::fmt::Debug for Axis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Axis").field("scale", &self.scale).field("name", &self.name).finish()
    }
}

impl Scale {
    /// A linear scale that the largest value fits under.
    pub fn linear(values: impl Iterator<Item = f64>) -> Self {
        let largest = values.fold(0.0, f64::max);
        Self::Linear { max: if largest > 0.0 { largest * 1.08 } else { 1.0 } }
    }

    /// A logarithmic scale of whole decades around the values above zero.
    pub fn log(values: impl Iterator<Item = f64>) -> Self {
        let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
        for value in values.filter(|value| *value > 0.0) {
            (low, high) = (low.min(value), high.max(value));
        }
        if high == 0.0 {
            return Self::Log { min: 1.0, max: 10.0 };
        }
        let (min, max) = (low.log10().floor(), high.log10().ceil());
        Self::Log { min: 10_f64.powf(min), max: 10_f64.powf(max.max(min + 1.0)) }
    }

    /// 0 to 1 along the axis.
    fn place(&self, value: f64) -> f64 {
        let place = match *self {
            Self::Linear { max } | Self::Nines { max } => value / max,
            Self::Log { min, max } => (value.max(min).log10() - min.log10()) / (max.log10() - min.log10()),
        };
        place.clamp(0.0, 1.0)
    }

    fn ticks(&self) -> Vec<f64> {
        match *self {
            Self::Linear { max } => {
                let step = nice_step(max / 5.0);
                (0..).map(|index| f64::from(index) * step).take_while(|tick| *tick <= max).collect()
            }
            Self::Log { min, max } => {
                let decades = (max / min).log10().round();
                let steps: &[f64] = if decades <= 2.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
                let powers = (0..=decades as i32).map(|power| min * 10_f64.powi(power));
                let ticks = powers.flat_map(|power| steps.iter().map(move |step| power * step));
                ticks.filter(|tick| *tick <= max * 1.000_001).collect()
            }
            Self::Nines { max } => {
                let half = 2_f64.log10();
                let whole = (0..=max.floor() as i32).map(f64::from);
                whole.chain([half]).filter(|tick| *tick <= max).collect()
            }
        }
    }
}

/// 1, 2 or 5 times a power of ten.
fn nice_step(rough: f64) -> f64 {
    let power = 10_f64.powf(rough.log10().floor());
    match rough / power {
        ..=1.0 => power,
        ..=2.0 => 2.0 * power,
        ..=5.0 => 5.0 * power,
        _ => 10.0 * power,
    }
}

/// The plot with a legend under its title.
pub fn lines(title: &str, note: &str, x: &Axis, y: &Axis, series: &[Series<'_>]) -> String {
    let mut out = format!("<section class=\"plot\"><h2>{title}</h2><p class=\"note\">{note}</p>");
    legend(series, &mut out);
    let _ = write!(
        out,
        "<div class=\"wide\"><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}: {} against {}\">",
        y.name, x.name
    );
    grid(x, y, &mut out);
    for line in series {
        draw(line, x, y, &mut out);
    }
    out.push_str("</svg></div></section>");
    out
}

fn legend(series: &[Series<'_>], out: &mut String) {
    if series.len() < 2 {
        return;
    }
    out.push_str("<p class=\"legend\">");
    for line in series {
        let _ = write!(out, "<span><i class=\"s{}\"></i>{}</span>", line.colour, line.name);
    }
    out.push_str("</p>");
}

fn across(x: &Axis, value: f64) -> f64 {
    LEFT + x.scale.place(value) * (WIDTH - LEFT - RIGHT)
}

fn down(y: &Axis, value: f64) -> f64 {
    HEIGHT - BOTTOM - y.scale.place(value) * (HEIGHT - TOP - BOTTOM)
}

fn grid(x: &Axis, y: &Axis, out: &mut String) {
    let (floor, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    for tick in y.scale.ticks() {
        let at = down(y, tick);
        let _ = write!(
            out,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text class=\"y\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            LEFT - 8.0,
            at + 4.0,
            (y.tick)(tick)
        );
    }
    for tick in x.scale.ticks() {
        let at = across(x, tick);
        let _ = write!(
            out,
            "<line class=\"tick\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{floor}\" y2=\"{}\"/>\
             <text class=\"x\" x=\"{at:.1}\" y=\"{}\">{}</text>",
            floor + 5.0,
            floor + 19.0,
            (x.tick)(tick)
        );
    }
    let _ = write!(
        out,
        "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{floor}\" y2=\"{floor}\"/>\
         <text class=\"name\" x=\"{right}\" y=\"{}\">{}</text>",
        HEIGHT - 6.0,
        x.name
    );
}

fn draw(line: &Series<'_>, x: &Axis, y: &Axis, out: &mut String) {
    let places: Vec<(f64, f64)> = line.points.iter().map(|(a, b)| (across(x, *a), down(y, *b))).collect();
    let path: Vec<String> = places.iter().map(|(a, b)| format!("{a:.1},{b:.1}")).collect();
    let colour = line.colour;
    let _ = write!(out, "<polyline class=\"line s{colour}\" points=\"{}\"/>", path.join(" "));
    // A few seconds are shown as dots, so that a single one is seen too; all points can be pointed at.
    let few = places.len() <= 40 && matches!(x.scale, Scale::Linear { .. });
    let shown = if few { 2.6 } else { 0.0 };
    for ((a, b), (value_x, value_y)) in places.iter().zip(&line.points).take(TIPS_MAX) {
        let tip = format!("{} {}: {}", line.name, (x.value)(*value_x), (y.value)(*value_y));
        let _ = write!(
            out,
            "<g class=\"point s{colour}\"><title>{tip}</title>\
             <circle class=\"dot\" cx=\"{a:.1}\" cy=\"{b:.1}\" r=\"{shown}\"/>\
             <circle class=\"hit\" cx=\"{a:.1}\" cy=\"{b:.1}\" r=\"9\"/></g>"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers() {
        let linear = Scale::linear([0.0, 92_000.0].into_iter()).ticks();
        assert_eq!(linear, [0.0, 20_000.0, 40_000.0, 60_000.0, 80_000.0]);
        let log = Scale::log([130.0, 20_000.0, 0.0].into_iter());
        assert_eq!(log.ticks(), [100.0, 1000.0, 10_000.0, 100_000.0]);
        assert_eq!(Scale::log(std::iter::empty()).ticks(), [1.0, 2.0, 5.0, 10.0]);
        assert_eq!(Scale::Nines { max: 2.5 }.ticks(), [0.0, 1.0, 2.0, 2_f64.log10()]);
    }

    #[test]
    fn larger_values_stand_higher_and_further_right() {
        let axis = |scale| Axis { scale, name: "n", tick: |_| String::new(), value: |_| String::new() };
        let (x, y) = (axis(Scale::Linear { max: 10.0 }), axis(Scale::Log { min: 1.0, max: 1000.0 }));
        assert!(across(&x, 4.0) < across(&x, 5.0) && down(&y, 10.0) > down(&y, 100.0));
        assert_eq!((across(&x, 0.0), down(&y, 1.0)), (LEFT, HEIGHT - BOTTOM));
    }
}
