//! A group of one GPU: everything happens but the exchange.

use crate::device::open;
use crate::support::{CARD, random, same_bits};
use zsseg::train::cuda::{CudaEngine, GroupId, Peers};

#[test]
fn the_mean_of_one_is_itself() {
    let engine = CudaEngine::new(open(CARD));
    let id = GroupId::new().unwrap();
    let peers = Peers::join(engine.backend(), &id, 0, 1).unwrap();
    assert_eq!(peers.count(), 1);
    let mut gradients = [[37, 11], [0, 4], [1, 5]].map(|shape| random(&engine, shape, 1));
    let kept = gradients[0].device.clone();
    let mut tensors: Vec<_> = gradients.iter_mut().map(|pair| &mut pair.device).collect();
    peers.average(&engine, &mut tensors).unwrap();
    for pair in &gradients {
        same_bits(&engine, &pair.device, &pair.plain);
    }
    same_bits(&engine, &kept, &gradients[0].plain);
    peers.average(&engine, &mut []).unwrap();
    assert!(Peers::join(engine.backend(), &id, 1, 1).is_err());
    let other = CudaEngine::new(open(CARD));
    assert!(peers.average(&other, &mut [&mut random(&other, [2, 2], 1).device]).is_err());
}
