//! One limit of a LimitRange, and what breaks it, in upstream's words.

use api::{
    Quantity,
    quota::{Amounts, Compute, Needs},
};
use serde::Deserialize;

/// `v1.LimitRangeItem`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Limit {
    pub r#type: String,
    pub min: Amounts,
    pub max: Amounts,
    pub default: Amounts,
    pub default_request: Amounts,
    pub max_limit_request_ratio: Amounts,
}

impl Limit {
    /// Whether containers may ask for something because of it.
    pub fn has_defaults(&self) -> bool {
        self.r#type == "Container" && !(self.default.is_empty() && self.default_request.is_empty())
    }

    /// What of a pod breaks it.
    pub fn pod(&self, pod: &Compute) -> Vec<String> {
        match self.r#type.as_str() {
            "Container" => {
                let containers = pod.containers.iter().chain(&pod.init_containers);
                containers
                    .flat_map(|container| self.all(&container.resources))
                    .collect()
            }
            "Pod" => {
                let mut requests = pod.together(|container| Some(&container.resources.requests));
                let mut limits = pod.together(|container| Some(&container.resources.limits));
                requests.extend(pod.resources.requests.clone());
                limits.extend(pod.resources.limits.clone());
                self.all(&Needs { requests, limits })
            }
            _ => Vec::new(),
        }
    }

    /// What of a claim breaks it.
    pub fn claim(&self, needs: &Needs) -> Vec<String> {
        if self.r#type != "PersistentVolumeClaim" {
            return Vec::new();
        }
        let requests = Needs {
            requests: needs.requests.clone(),
            limits: Amounts::new(),
        };
        let least = self
            .min
            .iter()
            .filter_map(|(name, min)| self.least(name, *min, &requests));
        let most = self.max.iter().filter_map(|(name, max)| {
            let what = format!("maximum {name} usage per {} is {max}", self.r#type);
            match requests.requests.get(name) {
                None => Some(format!("{what}.  No request is specified")),
                Some(request) if request > max => Some(format!("{what}, but request is {request}")),
                Some(_) => None,
            }
        });
        least.chain(most).collect()
    }

    fn all(&self, needs: &Needs) -> Vec<String> {
        let least = self
            .min
            .iter()
            .filter_map(|(name, min)| self.least(name, *min, needs));
        let most = self
            .max
            .iter()
            .filter_map(|(name, max)| self.most(name, *max, needs));
        let ratios = &self.max_limit_request_ratio;
        let ratios = ratios
            .iter()
            .filter_map(|(name, ratio)| self.ratio(name, *ratio, needs));
        least.chain(most).chain(ratios).collect()
    }

    fn least(&self, name: &str, min: Quantity, needs: &Needs) -> Option<String> {
        let what = format!("minimum {name} usage per {} is {min}", self.r#type);
        match (needs.requests.get(name), needs.limits.get(name)) {
            (None, _) => Some(format!("{what}.  No request is specified")),
            (Some(request), _) if *request < min => Some(format!("{what}, but request is {request}")),
            (_, Some(limit)) if *limit < min => Some(format!("{what}, but limit is {limit}")),
            _ => None,
        }
    }

    fn most(&self, name: &str, max: Quantity, needs: &Needs) -> Option<String> {
        let what = format!("maximum {name} usage per {} is {max}", self.r#type);
        match (needs.limits.get(name), needs.requests.get(name)) {
            (None, _) => Some(format!("{what}.  No limit is specified")),
            (Some(limit), _) if *limit > max => Some(format!("{what}, but limit is {limit}")),
            (_, Some(request)) if *request > max => Some(format!("{what}, but request is {request}")),
            _ => None,
        }
    }

    fn ratio(&self, name: &str, most: Quantity, needs: &Needs) -> Option<String> {
        let what = format!("{name} max limit to request ratio per {} is {most}", self.r#type);
        let said = |amounts: &Amounts| amounts.get(name).copied().filter(|amount| !amount.is_zero());
        let Some(request) = said(&needs.requests) else {
            return Some(format!("{what}, but no request is specified or request is 0"));
        };
        let Some(limit) = said(&needs.limits) else {
            return Some(format!("{what}, but no limit is specified or limit is 0"));
        };
        #[expect(clippy::cast_precision_loss, reason = "a ratio that is shown with six digits")]
        let number = |quantity: Quantity| quantity.nanos() as f64;
        let ratio = number(limit) / number(request);
        let over = ratio * 1e9 > number(most);
        over.then(|| format!("{what}, but provided ratio is {ratio:.6}"))
    }
}
