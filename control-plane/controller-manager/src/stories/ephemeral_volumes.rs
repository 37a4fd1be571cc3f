//! Claims for the volumes of a pod.

use super::{NOW, plan, told};
use crate::EphemeralVolumeController;
use api::Key;
use reconcile::LastOutcome;

const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: d, uid: p1}
spec:
  containers: []
  volumes:
  - name: plain
    emptyDir: {}
  - name: data
    ephemeral:
      volumeClaimTemplate:
        metadata: {labels: {app: web}}
        spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
";

fn claim(owner: &str) -> String {
    format!(
        "---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: web-data
  namespace: d
  uid: c1
  ownerReferences: [{{apiVersion: v1, kind: Pod, name: web, uid: {owner}, controller: true}}]
"
    )
}

#[tokio::test(start_paused = true)]
async fn an_ephemeral_volume_gets_its_claim() {
    let key = Key::new("d", "web");
    let look = async |text: String| {
        let plan = plan(
            EphemeralVolumeController,
            &key,
            &text,
            &LastOutcome::default(),
            NOW,
        )
        .await;
        (told(&plan), plan.events)
    };
    let (writes, _) = look(POD.to_owned()).await;
    assert_eq!(
        writes,
        "create persistentvolumeclaims  {\"apiVersion\":\"v1\",\"kind\":\"PersistentVolumeClaim\",\"metadata\":{\"name\":\
         \"web-data\",\"namespace\":\"d\",\"labels\":{\"app\":\"web\"},\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\
         \"Pod\",\"name\":\"web\",\"uid\":\"p1\",\"controller\":true,\"blockOwnerDeletion\":true}]},\"spec\":{\"accessModes\":\
         [\"ReadWriteOnce\"],\"resources\":{\"requests\":{\"storage\":\"1Gi\"}}}}\n"
    );
    assert_eq!(
        look(POD.to_owned() + &claim("p1")).await,
        (String::new(), Vec::new())
    );
    let (writes, events) = look(POD.to_owned() + &claim("another")).await;
    assert_eq!(writes, "");
    assert_eq!(
        (events[0].reason, events[0].message.as_str()),
        (
            "FailedBinding",
            "ephemeral volume data: PVC d/web-data was not created for pod d/web (pod is not owner)"
        )
    );
    assert_eq!(look(POD.to_owned() + "status: {phase: Succeeded}\n").await.0, "");
}
