"""Names of classes that people are likely to ask for, in words of the vocabulary.

PASCAL VOC, COCO and COCO-Stuff, ADE20K's 150 and Cityscapes.
"""

_VOC = """
background aeroplane airplane bicycle bird boat bottle bus car cat chair cow dining table
dog horse motorbike person potted plant sheep sofa train tv monitor television pottedplant
"""
_COCO = """
motorcycle truck traffic light fire hydrant street sign stop parking meter bench elephant
bear zebra giraffe hat backpack umbrella shoe eye glasses handbag tie suitcase frisbee
skis snowboard sports ball kite baseball bat glove skateboard surfboard tennis racket
plate wine glass cup fork knife spoon bowl banana apple sandwich orange broccoli carrot
hot dog pizza donut doughnut cake couch bed mirror window desk toilet door laptop mouse
remote keyboard cell phone microwave oven toaster sink refrigerator blender book clock
vase scissors teddy hair drier dryer toothbrush brush banner blanket branch bridge
building bush cabinet cage cardboard carpet ceiling tile cloth clothes clouds counter
cupboard curtain stuff dirt fence floor marble stone wood flower fog food fruit furniture
grass gravel ground hill house leaves leaf mat metal moss mountain mud napkin net paper
pavement pillow plant plastic platform playingfield playing field railing railroad river
road rock roof rug salad sand sea shelf sky skyscraper snow solid stairs straw structural
table tent textile towel tree vegetable wall brick concrete panel water drops waterdrops
blind blinds
"""
_ADE20K = """
sidewalk earth painting wardrobe lamp bathtub rail railway cushion base box column pillar
signboard chest drawers skyscraper fireplace grandstand path runway case pool screen
stairway bookcase coffee countertop stove palm kitchen island computer swivel bar arcade
machine hovel bus light chandelier awning streetlight booth dirt track apparel pole land
bannister escalator ottoman buffet poster stage van ship fountain conveyer belt conveyor
canopy washer plaything toy swimming stool barrel basket waterfall bag minibike cradle
step tank trade name bicycle lake dishwasher projection sculpture hood sconce tray trash
can fan pier crt bulletin board shower radiator glass flag seat armchair swing
"""
_CITYSCAPES = """
vegetation terrain rider pedestrian bicyclist pole traffic sign wall caravan trailer
license tunnel guard ego vehicle dynamic static
"""
_ANIMALS = """
kitten puppy calf bull ox oxen cattle lamb goat pig foal pony donkey rabbit hamster mouse
rat squirrel fox wolf deer lion tiger leopard monkey gorilla chicken hen rooster duck
goose owl eagle parrot pigeon fish frog turtle snake lizard tabby terrier camel kangaroo
"""
NAMES = sorted({*(_VOC + _COCO + _ADE20K + _CITYSCAPES + _ANIMALS).split()})
