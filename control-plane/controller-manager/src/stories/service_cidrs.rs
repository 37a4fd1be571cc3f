//! Ranges of Service addresses, and addresses that nobody has.

use super::{NOW, plan, told};
use crate::{AddressController, ServiceCidrController};
use api::Key;
use reconcile::LastOutcome;

fn range(name: &str, cidr: &str, rest: &str) -> String {
    format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: ServiceCIDR\nmetadata: {{name: {name}, uid: {name}{rest}}}\nspec: {{cidrs: [{cidr}]}}\n"
    )
}

fn address(ip: &str, service: &str, made: &str) -> String {
    format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: IPAddress\nmetadata: {{name: {ip}, uid: '{ip}', creationTimestamp: '{made}', \
         labels: {{ipaddress.kubernetes.io/managed-by: ipallocator.k8s.io}}}}\n\
         spec: {{parentRef: {{resource: services, namespace: d, name: {service}}}}}\n"
    )
}

const GOING: &str =
    ", deletionTimestamp: '2030-01-01T00:59:00Z', finalizers: [networking.k8s.io/service-cidr-finalizer]";
const JUST_NOW: &str =
    ", deletionTimestamp: '2030-01-01T00:59:55Z', finalizers: [networking.k8s.io/service-cidr-finalizer]";
const OLD: &str = "2030-01-01T00:00:00Z";
const WEB: &str = "---\napiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: d}\nspec: {clusterIPs: [10.97.0.5]}\n";

async fn of_range(text: &str) -> String {
    let key = Key::cluster("more");
    told(&plan(ServiceCidrController, &key, text, &LastOutcome::default(), NOW).await)
}

#[tokio::test(start_paused = true)]
async fn a_range_is_protected_and_ready() {
    assert_eq!(
        of_range(&range("more", "10.97.0.0/24", "")).await,
        "patch servicecidrs more {\"metadata\":{\"finalizers\":[\"networking.k8s.io/service-cidr-finalizer\"]}}\n\
         patch servicecidrs/status more {\"metadata\":{},\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\",\
         \"reason\":\"\",\"message\":\"Kubernetes Service CIDR is ready\",\"lastTransitionTime\":\"2030-01-01T01:00:00Z\"}]}}\n"
    );
}

#[tokio::test(start_paused = true)]
async fn a_range_stays_while_an_address_has_no_other() {
    let going = range("more", "10.97.0.0/24", GOING);
    let taken = address("10.97.0.5", "web", OLD);
    let needed = of_range(&format!("{going}{taken}{WEB}")).await;
    assert!(
        needed.contains("\"status\":\"False\",\"reason\":\"Terminating\"") && !needed.contains("finalizers"),
        "{needed}"
    );
    let free = "patch servicecidrs more {\"metadata\":{\"finalizers\":[]}}\n";
    assert_eq!(of_range(&going).await, free);
    // A range around it, or one that has the address as well, lets it go.
    for other in ["10.96.0.0/11", "10.97.0.4/30"] {
        assert_eq!(
            of_range(&format!("{going}{taken}{}", range("other", other, ""))).await,
            free
        );
    }
    let elsewhere = range("other", "10.97.0.128/25", "");
    assert!(
        of_range(&format!("{going}{taken}{elsewhere}"))
            .await
            .contains("Terminating")
    );
}

#[tokio::test(start_paused = true)]
async fn a_range_goes_when_every_server_knows() {
    let key = Key::cluster("more");
    let text = range("more", "10.97.0.0/24", JUST_NOW);
    let plan = plan(ServiceCidrController, &key, &text, &LastOutcome::default(), NOW).await;
    assert!(plan.writes.is_empty());
    assert_eq!(plan.requeue_after, Some(std::time::Duration::from_secs(5)));
}

#[tokio::test(start_paused = true)]
async fn an_address_that_leaked_is_given_back() {
    let of = async |text: String| {
        let plan = plan(
            AddressController,
            &Key::cluster("10.97.0.5"),
            &text,
            &LastOutcome::default(),
            NOW,
        )
        .await;
        let events: Vec<String> = plan.events.iter().map(|note| note.message.clone()).collect();
        (told(&plan), events.join(" "))
    };
    let delete = "delete ipaddresses 10.97.0.5\n";
    assert_eq!(
        of(address("10.97.0.5", "web", OLD) + WEB).await,
        (String::new(), String::new())
    );
    assert_eq!(of(address("10.97.0.5", "web", NOW)).await.0, "");
    let (writes, events) = of(address("10.97.0.5", "web", OLD)).await;
    assert_eq!(writes, delete);
    assert_eq!(
        events,
        "IPAddress: 10.97.0.5 for Service d/web appears to have leaked: cleaning up"
    );
    let other = WEB.replace("10.97.0.5", "10.97.0.6");
    assert_eq!(of(address("10.97.0.5", "web", OLD) + &other).await.0, delete);
}
