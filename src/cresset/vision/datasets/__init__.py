"""Data sets of images in torchvision's file formats, and the digits that come with Cresset."""

from cresset.vision.datasets.caltech import Caltech101, Caltech256
from cresset.vision.datasets.cifar import CIFAR10, CIFAR100
from cresset.vision.datasets.digits import Digits
from cresset.vision.datasets.fakedata import FakeData
from cresset.vision.datasets.flowers102 import Flowers102
from cresset.vision.datasets.folder import DatasetFolder, ImageFolder
from cresset.vision.datasets.food101 import Food101
from cresset.vision.datasets.mnist import EMNIST, KMNIST, MNIST, QMNIST, FashionMNIST
from cresset.vision.datasets.oxford_iiit_pet import OxfordIIITPet
from cresset.vision.datasets.stl10 import STL10
from cresset.vision.datasets.svhn import SVHN
from cresset.vision.datasets.usps import USPS
from cresset.vision.datasets.vision import VisionDataset

__all__ = ["CIFAR10", "CIFAR100", "Caltech101", "Caltech256", "DatasetFolder", "Digits", "EMNIST",
           "FakeData", "FashionMNIST", "Flowers102", "Food101", "ImageFolder", "KMNIST", "MNIST",
           "OxfordIIITPet", "QMNIST", "STL10", "SVHN", "USPS", "VisionDataset"]  # fmt: skip
