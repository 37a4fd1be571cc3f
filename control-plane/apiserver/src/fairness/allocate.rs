//! How seats are lent between levels: each gets the same fraction of what it wants, within its bounds.

/// What a level wants, and what it may have.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// What it would like.
    pub target: f64,
    /// What it has in any case.
    pub least: f64,
    /// What it may have.
    pub most: f64,
}

/// A wish of nothing is taken to be this, so that fractions of it differ.
const TINY: f64 = 0.001;

/// Shares `total` so that each share is `fraction * target` within its bounds, for one fraction, and gives that too.
/// None if the bounds do not allow it.
pub fn share(total: f64, wishes: &[Wish]) -> Option<(Vec<f64>, f64)> {
    const EPSILON: f64 = 1e-7;
    let given = |fraction: f64| -> Vec<f64> {
        let one = |wish: &Wish| (fraction * wish.target.max(TINY)).min(wish.most).max(wish.least);
        wishes.iter().map(one).collect()
    };
    let least: f64 = wishes.iter().map(|wish| wish.least).sum();
    let most: f64 = wishes.iter().map(|wish| wish.most).sum();
    if wishes.iter().any(|wish| wish.most < wish.least) || least > total + EPSILON || most < total - EPSILON {
        return None;
    }
    // What is given grows with the fraction, in straight lines between the fractions at which a bound is met.
    let bound = |wish: &Wish| {
        [
            wish.least / wish.target.max(TINY),
            wish.most / wish.target.max(TINY),
        ]
    };
    let mut corners: Vec<f64> = wishes.iter().flat_map(bound).collect();
    corners.sort_by(f64::total_cmp);
    let (mut low, mut below) = (0.0, least);
    for high in corners {
        let above: f64 = given(high).iter().sum();
        if above >= total {
            let slope = if high > low {
                (above - below) / (high - low)
            } else {
                0.0
            };
            let fraction = if slope > 0.0 {
                low + (total - below) / slope
            } else {
                low
            };
            return Some((given(fraction), fraction));
        }
        (low, below) = (high, above);
    }
    Some((given(low), low))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(total: f64, wishes: &[(f64, f64, f64)]) -> Option<Vec<f64>> {
        let wish = |&(target, least, most): &(f64, f64, f64)| Wish { target, least, most };
        let wishes: Vec<Wish> = wishes.iter().map(wish).collect();
        let round = |share: f64| (share * 1000.0).round() / 1000.0;
        let (shares, _) = share(total, &wishes)?;
        Some(shares.into_iter().map(round).collect())
    }

    #[test]
    fn seats_are_shared_in_the_same_fraction_within_bounds() {
        for (total, wishes, expected) in [
            (10.0, vec![(1.0, 0.0, 9.0), (4.0, 0.0, 9.0)], Some(vec![2.0, 8.0])),
            (10.0, vec![(1.0, 0.0, 9.0), (4.0, 0.0, 6.0)], Some(vec![4.0, 6.0])),
            (10.0, vec![(9.0, 7.0, 9.0), (9.0, 0.0, 9.0)], Some(vec![7.0, 3.0])),
            (
                10.0,
                vec![(0.0, 0.0, 20.0), (5.0, 0.0, 20.0)],
                Some(vec![0.002, 9.998]),
            ),
            (4.0, vec![(2.0, 2.0, 5.0), (2.0, 2.0, 5.0)], Some(vec![2.0, 2.0])),
            (10.0, vec![(2.0, 2.0, 5.0), (2.0, 2.0, 5.0)], Some(vec![5.0, 5.0])),
            (3.0, vec![(2.0, 2.0, 5.0), (2.0, 2.0, 5.0)], None),
            (11.0, vec![(2.0, 2.0, 5.0), (2.0, 2.0, 5.0)], None),
        ] {
            assert_eq!(shares(total, &wishes), expected, "{total} {wishes:?}");
        }
    }
}
