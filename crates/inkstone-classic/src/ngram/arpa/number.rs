//! Logarithms as text.

/// Decimals that are written. An error of half a unit in the last place, in five terms, moves a probability by less than
/// one part in 10⁹, so that sums over the vocabulary stay one to nine decimals.
const DECIMALS: u32 = 10;

/// Stands for the logarithm of zero.
const ZERO: f64 = -99.0;

/// Appends a logarithm.
pub(super) fn put(x: f64, out: &mut Vec<u8>) {
    // Adding zero turns −0 into 0; NaN can't arise.
    let x = x.clamp(ZERO, -ZERO) + 0.0;
    if x == 0.0 {
        out.push(b'0');
        return;
    }
    if x < 0.0 {
        out.push(b'-');
    }
    let scaled = (x.abs() * 10f64.powi(DECIMALS as i32)).round() as u64;
    let (whole, mut part) = (scaled / 10u64.pow(DECIMALS), scaled % 10u64.pow(DECIMALS));
    if whole >= 10 {
        out.push(b'0' + (whole / 10) as u8);
    }
    out.extend([b'0' + (whole % 10) as u8, b'.']);
    let mut digits = [0; DECIMALS as usize];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (part % 10) as u8;
        part /= 10;
    }
    out.extend(digits);
}

#[cfg(test)]
mod tests {
    #[test]
    fn logarithms_as_text() {
        let text = |x: f64| {
            let mut out = Vec::new();
            super::put(x, &mut out);
            String::from_utf8(out).expect("digits")
        };
        assert_eq!([text(0.0), text(-0.0), text(-1.5)], ["0", "0", "-1.5000000000"]);
        assert_eq!([text(f64::NEG_INFINITY), text(0.25)], ["-99.0000000000", "0.2500000000"]);
        assert_eq!(text(-12.345_678_901_26), "-12.3456789013");
    }
}
